//! Where backups are kept: the Store trait and local, Swift and SFTP stores, with retry, throttle and fault decorators.
