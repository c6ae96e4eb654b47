//! An OpenSSH server of one test alone that lets root in by a password and by nothing else.

use super::daemon::Daemon;
use super::private::{free_port, wait_for_port};
use std::path::Path;
use std::process::{Command, Output};

/// The password is one that only this server knows: it sees an `/etc/shadow` of its own, and this machine keeps its.
pub struct PasswordSshd {
    pub port: u16,
    pub password: String,
    /// File with the server's host key.
    pub known_hosts: String,
    _daemon: Daemon,
}

fn must(output: std::io::Result<Output>, what: &str) -> String {
    let output = output.unwrap_or_else(|error| panic!("{what}: {error}; make services installs it"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl PasswordSshd {
    /// Keeps its files in `folder`. Needs root, for the file that only it sees.
    pub fn start(folder: &Path) -> Self {
        let (port, password) = (free_port(), format!("password-{}", super::random_name()));
        let path = |name: &str| folder.join(name).display().to_string();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
        let key = path("host_key");
        must(
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).output(),
            "ssh-keygen",
        );
        let public = std::fs::read_to_string(path("host_key.pub")).expect("the host key");
        let key_words: Vec<&str> = public.split(' ').take(2).collect();
        write("known_hosts", &format!("[127.0.0.1]:{port} {}\n", key_words.join(" ")));
        let hash = must(Command::new("openssl").args(["passwd", "-6", &password]).output(), "openssl passwd");
        write("shadow", &format!("root:{hash}:20000::::::\n"));
        write(
            "sshd_config",
            &format!(
                "ListenAddress 127.0.0.1\nPort {port}\nHostKey {key}\nPermitRootLogin yes\nPubkeyAuthentication no\n\
                 PasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n\
                 Subsystem sftp /usr/lib/openssh/sftp-server\n"
            ),
        );
        let serve = "mount --bind \"$1\" /etc/shadow && exec /usr/sbin/sshd -D -e -f \"$2\"";
        let (shadow, config) = (path("shadow"), path("sshd_config"));
        let arguments = [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            serve,
            "sh",
            shadow.as_str(),
            config.as_str(),
        ];
        let mut daemon = Daemon::new("sshd", "/usr/bin/unshare".into(), &arguments, folder.join("sshd.log"));
        daemon.start();
        wait_for_port(port, "sshd");
        Self { port, password, known_hosts: path("known_hosts"), _daemon: daemon }
    }

    /// The options of storage `ssh` that lead to a folder there, but for the password.
    pub fn options(&self, folder: &Path) -> Vec<String> {
        let (port, folder) = (self.port.to_string(), folder.display().to_string());
        let words = [
            ["--storage", "ssh"],
            ["--ssh-host", "127.0.0.1"],
            ["--ssh-port", port.as_str()],
            ["--ssh-username", "root"],
            ["--ssh-known-hosts", self.known_hosts.as_str()],
            ["--container", folder.as_str()],
        ];
        words.concat().into_iter().map(str::to_owned).collect()
    }
}
