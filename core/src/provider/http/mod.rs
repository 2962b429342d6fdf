//! What the HTTP providers share: one client, fault classes, event streams.
