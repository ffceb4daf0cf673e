//! The implementation of the kube-rs example, on the product's server.

fn main() -> anyhow::Result<()> {
    prestop_bench::stack::serve(|body| prestop_bench::naive::answer(body))
}
