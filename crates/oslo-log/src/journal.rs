//! Lines to the systemd journal by its native protocol, with the fields oslo.log gives it.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::format::{function, thread_name};
use crate::record::Record;

/// What still fits a datagram with room for the other fields; longer messages are cut.
const LONGEST_MESSAGE: usize = 48 * 1024;

/// A datagram socket to the journal.
pub(crate) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    program: String,
}

impl Journal {
    pub(crate) fn connect(path: &Path, program: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Journal { socket, path: path.to_path_buf(), program: program.to_owned() })
    }

    pub(crate) fn write(&self, record: &Record, text: &str) {
        let datagram = self.datagram(record, text);
        if self.socket.send(&datagram).is_err() {
            let _ = self.socket.connect(&self.path);
            let _ = self.socket.send(&datagram);
        }
    }

    fn datagram(&self, record: &Record, text: &str) -> Vec<u8> {
        let mut end = text.len().min(LONGEST_MESSAGE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut datagram = Vec::with_capacity(end + 512);
        put(&mut datagram, "MESSAGE", text.get(..end).unwrap_or_default());
        put(&mut datagram, "PRIORITY", &record.level.priority().to_string());
        put(&mut datagram, "SYSLOG_IDENTIFIER", &self.program);
        put(&mut datagram, "LOGGER_NAME", &record.name);
        put(&mut datagram, "LOGGER_LEVEL", record.level.name());
        put(&mut datagram, "CODE_FILE", &record.path);
        put(&mut datagram, "CODE_LINE", &record.line.to_string());
        put(&mut datagram, "CODE_FUNC", function(record));
        put(&mut datagram, "THREAD_NAME", &thread_name());
        put(&mut datagram, "PROCESS_NAME", "MainProcess");
        if let Some(id) = record.context.as_ref().and_then(|context| context.request_id.as_deref()) {
            put(&mut datagram, "REQUEST_ID", id);
        }
        datagram
    }
}

/// `NAME=value`, or for several lines the name, the length and the bytes.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}
