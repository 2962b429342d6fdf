//! Tells the linker that Node brings the N-API symbols.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    napi_build::setup();
    // napi-derive does not make the folder for its type definitions itself.
    match env::var_os("NAPI_TYPE_DEF_TMP_FOLDER") {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    }
}
