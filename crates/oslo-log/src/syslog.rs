//! Lines to the local syslog socket, in the old BSD form that every syslog daemon reads there.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::record::Record;

/// A datagram socket to the local daemon, and how our lines are labelled.
pub(crate) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    facility: u8,
    program: String,
}

impl Syslog {
    pub(crate) fn connect(path: &Path, facility: u8, program: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A daemon that does not read must not hold up the service.
        socket.set_nonblocking(true)?;
        Ok(Syslog { socket, path: path.to_path_buf(), facility, program: program.to_owned() })
    }

    pub(crate) fn write(&self, record: &Record, text: &str) {
        let priority = u32::from(self.facility) * 8 + u32::from(record.level.priority());
        let date = record.time.format("%b %e %H:%M:%S");
        let message = format!("<{priority}>{date} {}[{}]: {text}", self.program, std::process::id());
        if self.socket.send(message.as_bytes()).is_err() {
            // The daemon was restarted: its socket is a new one of the same name.
            let _ = self.socket.connect(&self.path);
            let _ = self.socket.send(message.as_bytes());
        }
    }
}

/// The number of a facility: `LOG_USER`, `user`, `LOG_LOCAL0`, …
pub(crate) fn facility(name: &str) -> Option<u8> {
    let bare = name.trim().to_ascii_lowercase();
    let bare = bare.strip_prefix("log_").unwrap_or(&bare);
    let names = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    if let Some(position) = names.iter().position(|known| *known == bare) {
        return u8::try_from(position).ok();
    }
    let local: u8 = bare.strip_prefix("local")?.parse().ok()?;
    (local < 8).then_some(16 + local)
}

#[cfg(test)]
mod tests {
    use super::facility;

    #[test]
    fn facilities() {
        assert_eq!(facility("LOG_USER"), Some(1));
        assert_eq!(facility("daemon"), Some(3));
        assert_eq!(facility("LOG_LOCAL7"), Some(23));
        assert_eq!((facility("LOG_LOCAL8"), facility("nothing")), (None, None));
    }
}
