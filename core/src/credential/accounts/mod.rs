//! The accounts folder as users have it: numbered files, a link, `state.yaml`, `rotation.log`.
