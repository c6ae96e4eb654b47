//! Leaving a download before its end.
//!
//! How its data connection goes matters. Closed in an orderly way while ProFTPD still writes, it leaves that with a broken
//! pipe; over TLS ProFTPD takes this for a failure of its TLS library, and hangs up on the control connection too. Of a reset it just
//! says that the transfer was aborted. It is told by ABOR besides, and then has two answers, in either order: 226 or 426 for the
//! transfer, 226 for ABOR. Other servers have one, or three. So they are read up to the answer to a NOOP behind them.

use super::connect::{Conn, Transfer};
use super::error::{Failure, within};
use std::time::Duration;
use suppaftp::Status;

/// Answers that may come between those to ABOR and that to NOOP.
const MOST_BETWEEN: usize = 3;
/// For an answer that should be on its way already.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Conn {
    /// Closes the data connection of a download that is to send more. All that was wanted is here: what goes wrong now is no failure
    /// of the download, but the control connection `is_broken` by it.
    pub async fn hang_up(&mut self, transfer: Transfer) {
        // Where this cannot be had the connection is closed all the same.
        let _ = transfer.get_ref().get_ref().set_zero_linger();
        self.is_broken = match within(self.patience, self.ftp.abort(transfer)).await {
            Ok(()) | Err(Failure::Reply { .. }) => self.catch_up().await.is_err(),
            Err(_) => true,
        };
    }

    /// Puts answers in step with commands, by a command that does nothing.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        let mut answer = within(self.patience, self.ftp.noop()).await;
        for _ in 0..MOST_BETWEEN {
            if !matches!(answer, Err(Failure::Reply { .. })) {
                break;
            }
            let next = async { self.ftp.read_response(Status::CommandOk).await.map(|_| ()) };
            answer = within(ANSWER_TIMEOUT, next).await;
        }
        answer
    }
}
