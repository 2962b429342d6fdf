//! The accounts folder as users have it: numbered files, a link, `state.yaml`, `rotation.log`.

mod load;

pub(crate) use load::{load, usual_folder};
