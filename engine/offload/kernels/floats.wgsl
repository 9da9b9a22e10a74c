// Products of a format whose `weights` are floats.
alias Unit = Weights;

fn unit_of(row: u32, unit: u32) -> Unit {
  return weights(row, unit);
}

fn dot_unit(w: Unit, x: Given, sum: f32) -> f32 {
  return sum + (dot16(w.low, x.low) + dot16(w.high, x.high));
}
