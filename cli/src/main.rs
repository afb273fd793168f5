//! See the library: the tests run the same program.

fn main() -> std::process::ExitCode {
    subrosa::main()
}
