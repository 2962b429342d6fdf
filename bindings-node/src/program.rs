//! The shell programs as npm installs them.

use napi_derive::napi;

/// Runs the program named by `argv[0]` and gives its exit code.
#[napi]
pub(crate) fn run_cli(argv: Vec<String>) -> u8 {
    let name = argv.first().map_or("credential-rotation", String::as_str);
    if argv.iter().skip(1).any(|word| word == "--version") {
        println!("{name} {}", env!("CARGO_PKG_VERSION"));
        return 0;
    }
    eprintln!("{name}: this build knows only --version");
    2
}
