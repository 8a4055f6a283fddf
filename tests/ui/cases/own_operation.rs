//! Nobody adds an operation that the rules do not know.
use keygate::manage::Operation;

struct Everything;

impl Operation for Everything {}

fn main() {}
