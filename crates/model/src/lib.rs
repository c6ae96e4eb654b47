//! Domain types of Freezer: ids, jobs, runs, schedules, searches and the RPC messages. Pure: no I/O.
