//! Compiles `proto/qadom/v1` without an installed `protoc`. The generated types stay private.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let sources = [
        "proto/qadom/v1/file.proto",
        "proto/qadom/v1/message.proto",
        "proto/qadom/v1/record.proto",
    ];
    for source in sources {
        println!("cargo::rerun-if-changed={source}");
    }
    let files = protox::compile(sources, ["proto"])?;
    prost_build::Config::new()
        // Slices of the received body instead of copies.
        .bytes(["."])
        // The comments are written for readers of the schema, not for rustdoc.
        .disable_comments(["."])
        .compile_fds(files)?;
    Ok(())
}
