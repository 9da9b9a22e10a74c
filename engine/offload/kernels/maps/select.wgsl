// y are the numbers of the rows that are kept
fn value(t: u32, i: u32) -> f32 {
  return x[bitcast<u32>(y[t]) * WIDTH + i];
}
