//! `subrosa demo`: one sealed job from start to verified result, and what each party sees of it.

mod observer;
mod run;
mod story;

pub(crate) use self::run::run;

/// Options of `subrosa demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The secret value, to be proven to lie between 0 and 100
    #[arg(long, value_name = "N", default_value_t = 77, allow_negative_numbers = true)]
    value: i64,
    /// Let the launcher start one process for the job, instead of a resident worker
    #[arg(long)]
    process: bool,
}
