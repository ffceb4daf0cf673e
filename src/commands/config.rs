//! `prestop config check` and `prestop config schema`: check the configuration, or print its
//! schema.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::config::{Config, json_schema};

use super::{Exit, tell, unopened};

/// Checks all configuration files and reports each problem.
pub(super) fn check(files: &[PathBuf]) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    let mut exit = Exit::Done;
    for file in files {
        let name = file.display().to_string();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                tell(&format!("error: {}", unopened(file, &error)));
                exit = Exit::BadInput;
                continue;
            }
        };
        match Config::parse(&text) {
            Ok(_) => writeln!(out, "{name}: ok")?,
            Err(error) => {
                tell(&error.in_file(&name).to_string());
                exit = Exit::BadInput;
            }
        }
    }
    Ok(exit)
}

/// Prints the JSON Schema of the configuration file.
pub(super) fn schema() -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &json_schema())?;
    writeln!(out)?;
    Ok(Exit::Done)
}
