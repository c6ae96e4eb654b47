//! Every option of an action, once: its key in jobs and INI files, its flag, its type and its help.
//!
//! The table is upstream's (flags, defaults, aliases found in the wild) plus a few of ours. The command
//! line, the job INI reader and the typed options are all made from it, so they cannot disagree.

/// What text an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    Float,
    /// `--key` and `--nokey`.
    Bool,
    /// Bytes a second, with an optional unit (`10K`, `1.5MiB`); -1 means no limit.
    Rate,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

/// One row of the table.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// Long flag when it is not the name with dashes.
    pub flag: Option<&'static str>,
    /// Another long flag that means the same; hidden in `--help`.
    pub other_flag: Option<&'static str>,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: Option<&'static str>,
    /// Heading in `--help`.
    pub group: &'static str,
    pub help: &'static str,
}

const ACTIONS: &[&str] =
    &["backup", "restore", "admin", "verify", "hold", "release", "adopt", "info", "exec"];
const MODES: &[&str] = &[
    "fs",
    "mongo",
    "mysql",
    "postgresql",
    "sqlserver",
    "cinder",
    "cindernative",
    "nova",
    "glance",
    "rbd",
    "cloud",
    "project",
    "stream",
];
const ENGINES: &[&str] = &["tar", "rsync", "rsyncv2", "nova", "osbrick", "glance", "cinder", "image", "set"];
const TARGETS: &[&str] = &["new", "over", "replace"];
const STORAGES: &[&str] = &["local", "swift", "ssh", "s3", "ftp", "ftps"];
const CODECS: &[&str] = &["gzip", "bzip2", "xz", "zstd", "none"];
const SCOPES: &[&str] = &["newest", "all"];
const CIPHERS: &[&str] = &["aes-256-cfb", "aes-256-gcm"];
const KDFS: &[&str] = &["openssl", "pbkdf2"];
const FORMS: &[&str] = &["dump", "physical"];
const EXISTING: &[&str] = &["replace", "keep", "refuse"];
const OWNERS: &[&str] = &["names", "numbers", "none"];
const DEREFERENCE: &[&str] = &["", "none", "soft", "hard", "all"];

const fn key(group: &'static str, name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, flag: None, other_flag: None, short: None, kind, default: None, group, help }
}

impl Key {
    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
    const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }
    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }
    const fn or_flag(mut self, flag: &'static str) -> Self {
        self.other_flag = Some(flag);
        self
    }
    /// Whether it says where a storage is, or how to get there.
    pub fn is_of_storage(&self) -> bool {
        (self.group == WHERE && self.name != "storages") || self.name == "insecure"
    }
    /// The long flag, without dashes in front.
    pub fn long(&self) -> String {
        self.flag.map_or_else(|| self.name.replace('_', "-"), str::to_owned)
    }
}

const WHAT: &str = "What to do";
const CHAIN: &str = "Levels of a backup chain";
const FORM: &str = "Compression and encryption";
const WHERE: &str = "Storage";
const BACK: &str = "Restore and verification";
const TIDY: &str = "Rotation (action admin) and holds";
const LIMIT: &str = "Limits";
const CLOUD: &str = "OpenStack resources";
const HOST: &str = "Databases and snapshots";
const RUN: &str = "Running";

pub const KEYS: &[Key] = &[
    key(WHAT, "action", Kind::Choice(ACTIONS), "What to do").or("backup"),
    key(WHAT, "mode", Kind::Choice(MODES), "Kind of source").or("fs").short('m'),
    key(WHAT, "engine_name", Kind::Choice(ENGINES), "Format of the backup").or("tar").flag("engine").short('e'),
    key(WHAT, "backup_name", Kind::Text, "Name of the backup; {mode} {storage} {container} {resource_id} are filled in")
        .or("freezer_{mode}_{resource_id}")
        .short('N'),
    key(WHAT, "hostname", Kind::Text, "Host part of the backup's name (default: this host); names another host's backups"),
    key(WHAT, "path_to_backup", Kind::Text, "File or directory to back up").short('F'),
    key(WHAT, "exclude", Kind::Text, "Leave out what matches this pattern (GNU tar wildcards)"),
    key(WHAT, "exclude_rules", Kind::Text, "Leave out what these rules say, as in a .gitignore (!rule takes back, /rule is of the root, rule/ of folders only); one a line or a JSON list"),
    key(WHAT, "exclude_rules_file", Kind::Text, "File on the agent's host with such rules, which come before those of exclude_rules"),
    key(WHAT, "include_rules", Kind::Text, "Save only files that these rules name, or that are below folders they name; one a line or a JSON list"),
    key(WHAT, "dereference_symlink", Kind::Choice(DEREFERENCE), "Follow symbolic links (soft), store hard links as files (hard), or both (all)"),
    key(WHAT, "one_file_system", Kind::Bool, "Do not cross into other file systems").or("true"),
    key(WHAT, "sync", Kind::Bool, "Flush the file systems first").or("true"),
    key(WHAT, "command", Kind::Text, "Command of action exec: words and quotes as in a shell, but no shell").flag("command"),
    key(WHAT, "exec_shell", Kind::Bool, "Run commands (of action exec, hooks, streams) through /bin/sh -c").or("false"),
    key(WHAT, "stream_command", Kind::Text, "Command whose output is saved (mode stream; without it, standard input is); an exit status other than 0 leaves nothing behind"),
    key(WHAT, "hook_before", Kind::Text, "Command to run before the action, which is not done when it fails"),
    key(WHAT, "hook_after", Kind::Text, "Command to run after the action, however that ended but by kill -9 (FREEZER_OUTCOME: success, partial, fail or aborted)"),
    key(WHAT, "hook_timeout", Kind::Int, "Seconds after which a hook is ended").or("600"),
    key(WHAT, "dry_run", Kind::Bool, "Show what would be done").or("false"),
    key(CHAIN, "incremental", Kind::Bool, "Save only what changed since the last level").or("false"),
    key(CHAIN, "max_level", Kind::Int, "Start a new chain after this level"),
    key(CHAIN, "always_level", Kind::Int, "Stay at this level: each backup holds the changes since the level below"),
    key(CHAIN, "restart_always_level", Kind::Float, "Start a new chain when level 0 is older than this many days"),
    // Upstream's parser takes the beginning of a flag; here another one begins so, too.
    key(FORM, "compression", Kind::Choice(CODECS), "Compressor").or("gzip").or_flag("compress"),
    key(FORM, "compression_level", Kind::Int, "Level of the compressor (default: its own)"),
    key(FORM, "encrypt_pass_file", Kind::Text, "File whose first line is the pass phrase; encrypts with AES-256"),
    key(FORM, "encrypt_secret_ref", Kind::Text, "The pass phrase as a secret of the project in Barbican (its address or id), instead of a file"),
    key(FORM, "encryption_cipher", Kind::Choice(CIPHERS), "Cipher of a new backup: aes-256-cfb (readable by openssl, and with encryption_kdf openssl by Freezer in Python) or aes-256-gcm (sealed chunks, always with pbkdf2, names encrypted; neither can read it)").or("aes-256-cfb"),
    key(FORM, "encryption_kdf", Kind::Choice(KDFS), "How the key comes from the pass phrase: pbkdf2 (slow to guess, names encrypted) or openssl (fast to guess; Freezer in Python reads only this). Default: pbkdf2 for a new chain, and for a level on top of others what these have"),
    key(FORM, "encrypt_names", Kind::Bool, "Encrypt GNU tar's snapshot file too, which holds the names of all files; Freezer in Python cannot take the next level then (always so with pbkdf2 and aes-256-gcm, which it cannot read)").or("false"),
    key(FORM, "max_segment_size", Kind::Int, "Bytes of one segment").or("33554432").short('M'),
    key(FORM, "rsync_block_size", Kind::Int, "Only of engine rsyncv2").or("4096"),
    key(WHERE, "storage", Kind::Choice(STORAGES), "Where backups are kept").or("swift"),
    key(WHERE, "container", Kind::Text, "Swift container or directory, with an optional /prefix").or("freezer_backups").short('C'),
    key(WHERE, "storages", Kind::Text, "Several storages that each get the whole backup: a JSON list of objects with storage, container and what else a storage needs; in a job file, [storage:NAME] sections"),
    key(WHERE, "storage_secret_ref", Kind::Text, "The password of storages ssh, ftp and ftps, or the secret key of s3 beside access_key, as a secret of the project in Barbican (its address or id); comes before files and the environment"),
    key(WHERE, "ssh_host", Kind::Text, "Host of storage ssh"),
    key(WHERE, "ssh_port", Kind::Int, "Port of storage ssh").or("22"),
    key(WHERE, "ssh_username", Kind::Text, "User of storage ssh"),
    key(WHERE, "ssh_key", Kind::Text, "Private key file").or("~/.ssh/id_rsa"),
    key(WHERE, "ssh_password", Kind::Text, "Password of storage ssh in a job file; else in a file (ssh_password_file) or the environment (SSH_PASSWORD), never on the command line"),
    key(WHERE, "ssh_password_file", Kind::Text, "File whose first line is the password of storage ssh"),
    key(WHERE, "ssh_key_passphrase_file", Kind::Text, "File whose first line is the pass phrase of the private key"),
    key(WHERE, "ssh_known_hosts", Kind::Text, "Host keys that are trusted").or("~/.ssh/known_hosts"),
    key(WHERE, "ftp_host", Kind::Text, "Host of storages ftp and ftps"),
    key(WHERE, "ftp_port", Kind::Int, "Port of storages ftp and ftps").or("21"),
    key(WHERE, "ftp_username", Kind::Text, "User of storages ftp and ftps"),
    key(WHERE, "ftp_password", Kind::Text, "Password of storages ftp and ftps in a job file; else in a file (ftp_password_file) or the environment (FTP_PASSWORD), never on the command line"),
    key(WHERE, "ftp_password_file", Kind::Text, "File whose first line is the password of storages ftp and ftps"),
    key(WHERE, "ftp_keyfile", Kind::Text, "File with the client's key, for servers of storage ftps that ask for a certificate"),
    key(WHERE, "ftp_certfile", Kind::Text, "File with the client's certificate, beside ftp_keyfile"),
    key(WHERE, "endpoint", Kind::Text, "Address of storage s3: https://host, with a port if need be"),
    key(WHERE, "s3_region", Kind::Text, "Region of the bucket").or("us-east-1"),
    key(WHERE, "s3_bucket_in_host", Kind::Bool, "The bucket is part of the host's name, not of the path").or("false"),
    key(WHERE, "s3_credentials_file", Kind::Text, "File with the keys of storage s3, in the form of the AWS tools")
        .or("~/.aws/credentials"),
    key(WHERE, "access_key", Kind::Text, "Access key of storage s3, instead of the file; also from the environment (AWS_ACCESS_KEY_ID or ACCESS_KEY)"),
    key(WHERE, "secret_key", Kind::Text, "Secret key of storage s3 in a job file; else in the file or the environment (AWS_SECRET_ACCESS_KEY or SECRET_KEY), never on the command line"),
    key(BACK, "restore_abs_path", Kind::Text, "Directory to restore into (made when missing)"),
    key(BACK, "restore_from_date", Kind::Text, "Newest state not after this time, YYYY-MM-DDThh:mm:ss (local time, or with Z or an offset)"),
    key(BACK, "overwrite", Kind::Bool, "Restore into a directory that is not empty; files the backup does not know stay").or("false"),
    key(BACK, "restore_paths", Kind::Text, "Only these files and folders, relative to the folder that was saved; one a line or a JSON list"),
    key(BACK, "existing_files", Kind::Choice(EXISTING), "What happens to files in the target that the backup has too (with overwrite): they are replaced, kept, or the restore is refused").or("replace"),
    key(BACK, "delete_foreign", Kind::Bool, "Delete what is in the target and not in the backup (with overwrite); what is mounted there stays, and what exclude, exclude_rules and include_rules leave out").or("false"),
    key(BACK, "delete_excluded", Kind::Bool, "With delete_foreign: also what the backup was told to leave out").or("false"),
    key(BACK, "owners", Kind::Choice(OWNERS), "Owners of restored files: by their names where this host knows them, by their numbers, or the one who restores").or("names"),
    key(BACK, "owner_map", Kind::Text, "Other owners, user:OLD=NEW or group:OLD=NEW (names or numbers, OLD may be *); one a line or a JSON list"),
    key(BACK, "consistency_check", Kind::Bool, "Compute upstream's checksum of the source").or("false"),
    key(BACK, "consistency_checksum", Kind::Text, "Compare the restored tree with this checksum"),
    key(BACK, "verify_scope", Kind::Choice(SCOPES), "What action verify reads: the newest state (or the one of restore_from_date) and all it is built on, or every one").or("newest"),
    key(BACK, "verify_sample", Kind::Float, "Percent of the payload that action verify reads, another part each day (default: all)"),
    key(TIDY, "remove_older_than", Kind::Float, "Remove chains whose newest level is older than this many days"),
    key(TIDY, "remove_from_date", Kind::Text, "Remove chains whose newest level is not after this time"),
    key(TIDY, "keep_last", Kind::Int, "Keep the chains that hold this many newest backups, remove the others"),
    key(TIDY, "keep_hourly", Kind::Int, "Keep the newest backup of so many hours (UTC) that have one, as the other keep_… do; what any of them keeps stays"),
    key(TIDY, "keep_daily", Kind::Int, "The same for days"),
    key(TIDY, "keep_weekly", Kind::Int, "The same for weeks"),
    key(TIDY, "keep_monthly", Kind::Int, "The same for months"),
    key(TIDY, "keep_yearly", Kind::Int, "The same for years"),
    key(TIDY, "hold_reason", Kind::Text, "Why a backup (the newest, or the one of restore_from_date) is kept from rotation, with all it is built on (action hold; action release lets it go)"),
    key(TIDY, "hold_until", Kind::Text, "When the hold ends by itself (default: when it is released)"),
    key(TIDY, "hold_by", Kind::Text, "Who holds it (default: the agent on this host)"),
    key(TIDY, "fullbackup_rotation", Kind::Int, "Full Cinder backups to keep (mode cindernative)"),
    key(LIMIT, "upload_limit", Kind::Rate, "Bytes a second to the storage, units allowed (10M)").or("-1"),
    key(LIMIT, "download_limit", Kind::Rate, "Bytes a second from the storage").or("-1"),
    key(LIMIT, "parallel_resources", Kind::Int, "Resources of a project, or servers, that are saved or restored at the same time").or("4"),
    key(LIMIT, "max_priority", Kind::Text, "Accepted for upstream's jobs; run the agent under nice and ionice instead"),
    key(LIMIT, "timeout", Kind::Int, "Seconds to wait for a resource; of action exec: until it is ended, 0 for never (default there: 3600)").or("120"),
    key(CLOUD, "project_id", Kind::Text, "Project to act in"),
    key(CLOUD, "os_trust_id", Kind::Text, "Keystone trust to act under"),
    key(CLOUD, "os_identity_api_version", Kind::Text, "Only 3").or("3"),
    key(CLOUD, "insecure", Kind::Bool, "Do not verify TLS certificates").or("false"),
    key(CLOUD, "proxy", Kind::Text, "HTTP proxy"),
    key(CLOUD, "cinder_vol_id", Kind::Text, "Volume, through an image"),
    key(CLOUD, "cinder_vol_name", Kind::Text, "Volume by name"),
    key(CLOUD, "cinder_restore_to", Kind::Choice(TARGETS), "Where a volume is restored to: a new one, over the old one, or a new one that is attached in the old one's place").or("new"),
    key(CLOUD, "restore_name", Kind::Text, "Name of a restored volume, image or server (default: <name>~<time of the backup>)"),
    key(CLOUD, "rbd_pool", Kind::Text, "Ceph pool of the image"),
    key(CLOUD, "rbd_image", Kind::Text, "Image of a Ceph pool"),
    key(CLOUD, "rbd_restore_to", Kind::Text, "pool/image to restore into (default: the old pool, <image>~<time of the backup>)"),
    key(CLOUD, "cinderbrick_vol_id", Kind::Text, "Volume attached to this host"),
    key(CLOUD, "cindernative_vol_id", Kind::Text, "Volume, through Cinder's backup service"),
    key(CLOUD, "cindernative_backup_id", Kind::Text, "Cinder backup to restore"),
    key(CLOUD, "cindernative_backup_az", Kind::Text, "Availability zone of a Cinder backup"),
    key(CLOUD, "cindernative_backup_container", Kind::Text, "Container of a Cinder backup"),
    key(CLOUD, "cindernative_freezer_only", Kind::Bool, "Rotate only Cinder backups made by Freezer").or("true"),
    key(CLOUD, "nova_inst_id", Kind::Text, "Server by id"),
    key(CLOUD, "nova_inst_name", Kind::Text, "Servers by name"),
    key(CLOUD, "nova_inst_tag", Kind::Text, "Servers that have this tag"),
    key(CLOUD, "nova_inst_metadata", Kind::Text, "Servers with this metadata, key=value"),
    key(CLOUD, "nova_restore_flavor", Kind::Text, "Flavor of a restored server, by id or name"),
    key(CLOUD, "nova_restore_network", Kind::Text, "Network of a restored server"),
    key(CLOUD, "consistent_group_types", Kind::Text, "Types of Cinder's groups, by name and with commas between, whose snapshots the back end takes of all volumes at one instant").or("default_cgsnapshot_type"),
    key(CLOUD, "glance_image_id", Kind::Text, "Image by id"),
    key(CLOUD, "glance_image_name", Kind::Text, "Images by name"),
    key(CLOUD, "glance_image_name_filter", Kind::Text, "Images whose name does not hold this text"),
    key(CLOUD, "project_select", Kind::Text, "Parts of a project to restore with what they need, kind or kind/name-or-id, with commas between (default: all)"),
    key(CLOUD, "project_exclude", Kind::Text, "What of a project is not saved, in the same form; objects: containers without their content"),
    key(CLOUD, "project_map", Kind::Text, "What takes the place of an old resource of a project: kind/old-id-or-name=new-id, with commas between"),
    key(CLOUD, "project_restore_to", Kind::Text, "Id of another project to restore a project into (the user needs a role there)"),
    key(CLOUD, "temp_resource_prefix", Kind::Text, "Prefix of temporary resources").or("freezer_"),
    key(HOST, "cloud_conf", Kind::Text, "File that says what the control plane consists of (mode cloud)"),
    key(HOST, "mysql_conf", Kind::Text, "Access file of MariaDB or MySQL (mode mysql): host, port or socket, user, password; names, exclude, one_transaction"),
    key(HOST, "mysql_form", Kind::Choice(FORMS), "Mode mysql saves dumps of databases, or the server's files with mariadb-backup and its binary logs as increments (physical)").or("dump"),
    key(HOST, "recovery_target_binlog", Kind::Text, "Place FILE:POSITION in MariaDB's binary logs to which a restored server is brought (mysql_form physical; restore_from_date brings it to a time)"),
    key(HOST, "postgresql_conf", Kind::Text, "Access file of PostgreSQL (mode postgresql): host, port, user, passfile or service; slot, checkpoint, bin_dir"),
    key(HOST, "recovery_target_lsn", Kind::Text, "Place in PostgreSQL's log where the recovery of a restored server ends (mode postgresql; restore_from_date ends it at a time)"),
    key(HOST, "mongo_conf", Kind::Text, "Access file of MongoDB (mode mongo): uri, password; oplog, dump_program, restore_program"),
    key(HOST, "recovery_target_oplog", Kind::Text, "Place SECONDS:ORDINAL in MongoDB's oplog before which the replay of a restore ends (mode mongo, with load_into_server)"),
    key(HOST, "sql_server_conf", Kind::Text, "Access file of Microsoft SQL Server (mode sqlserver): instance, host, port, user, password; folder, agent_folder, data_folder, names, exclude, copy_only"),
    key(HOST, "load_into_server", Kind::Bool, "Load what is restored into the server that mongo_conf or sql_server_conf names, not only into files").or("false"),
    key(HOST, "replace_databases", Kind::Bool, "With load_into_server: replace collections (mode mongo) or databases (mode sqlserver) that are there").or("false"),
    key(HOST, "snapshot", Kind::Text, "Read a folder from a snapshot of its file system: lvm, btrfs, zfs, command, or true for what the folder lies on").short('s'),
    key(HOST, "snapshot_timeout", Kind::Int, "Seconds that a snapshot may live; then it is removed, and the backup fails").or("86400"),
    key(HOST, "snapshot_command", Kind::Text, "Command that takes a snapshot (snapshot=command): FREEZER_SNAPSHOT is its name, FREEZER_SOURCE the mount point it is of"),
    key(HOST, "snapshot_mount_command", Kind::Text, "Command that mounts it on FREEZER_SNAPSHOT_DIR, if snapshot_command has not"),
    key(HOST, "snapshot_remove_command", Kind::Text, "Command that unmounts and removes it; also called where nothing was made"),
    key(HOST, "fsfreeze", Kind::Bool, "Freeze the file system while snapshot_command runs (LVM, Btrfs and ZFS do that by themselves)").or("false"),
    key(HOST, "fsfreeze_timeout", Kind::Int, "Seconds after which it is let go whatever happens, and the backup fails").or("30"),
    key(HOST, "lvm_srcvol", Kind::Text, "LVM volume, by name or path (default: the one that the folder lies on)"),
    key(HOST, "lvm_snapname", Kind::Text, "LVM snapshot name (default: one of its own)"),
    key(HOST, "lvm_snapperm", Kind::Text, "ro or rw").flag("lvm-snap-perm").or("ro"),
    key(HOST, "lvm_snapsize", Kind::Text, "LVM snapshot size, as lvcreate takes it (500M, 8G, 80%FREE); thin volumes need none").or("1G"),
    key(HOST, "lvm_dirmount", Kind::Text, "Where the LVM snapshot is mounted: an empty directory, made when missing (default: one of its own)"),
    key(HOST, "lvm_volgroup", Kind::Text, "LVM volume group (default: the volume's)"),
    key(RUN, "metadata_out", Kind::Text, "Write the result as JSON to this file, or - for standard output"),
    key(RUN, "quiet", Kind::Bool, "No progress, no summary").or("false").short('q'),
    key(RUN, "debug", Kind::Bool, "Log more").or("false").short('d'),
    key(RUN, "log_file", Kind::Text, "Log to this file (default: standard error)"),
];

/// Names found in jobs, old documents and other programs, and the key each one means.
pub const ALIASES: &[(&str, &str)] = &[
    ("engine", "engine_name"),
    ("restore_from_host", "hostname"),
    ("encryption_password", "encrypt_pass_file"),
    ("max_backup_level", "max_level"),
    ("always_backup_level", "always_level"),
    ("restart_always_backup", "restart_always_level"),
    ("max_cpu_priority", "max_priority"),
    ("max_seg_size", "max_segment_size"),
    ("file_to_backup", "path_to_backup"),
    ("src_file", "path_to_backup"),
    ("remove_older_then", "remove_older_than"),
    ("remove_before_date", "remove_from_date"),
    ("os_auth_ver", "os_identity_api_version"),
    ("lvm_auto_snap", "snapshot"),
    ("vssadmin", "snapshot"),
    ("lvm_snap_perm", "lvm_snapperm"),
];

/// Options of very old agents that mean nothing any more.
pub const OBSOLETE: &[&str] =
    &["list_containers", "list_objects", "get_object", "dst_file", "upload", "no_incremental"];

/// The row of a key or of one of its aliases; dashes count as underscores.
pub fn find(name: &str) -> Option<&'static Key> {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, key)| *key);
    KEYS.iter().find(|key| key.name == name)
}
