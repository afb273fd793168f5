//! The example worker `create-proof`, for images of it.

fn main() -> Result<(), subrosa_worker::Error> {
    subrosa_examples::create_proof::main()
}
