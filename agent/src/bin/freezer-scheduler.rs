fn main() -> std::process::ExitCode {
    freezer_agent::scheduler::run(std::env::args_os())
}
