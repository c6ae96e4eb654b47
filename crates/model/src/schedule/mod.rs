//! When a job fires: one date, an interval, cron fields, a start and an end.
