//! What a backup is: tar engine, compression, encryption, chains, manifests, restore, retention.
