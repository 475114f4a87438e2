//! The `millrace` binary: everything it does is in the library, where tests and benchmarks reach it too.

fn main() -> std::process::ExitCode {
    millrace::cli::main()
}
