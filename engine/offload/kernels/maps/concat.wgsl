// rows of LEFT values, then RIGHT
fn value(t: u32, i: u32) -> f32 {
  let row = (t * WIDTH + i) / (LEFT + RIGHT);
  let column = i % (LEFT + RIGHT);
  if (column < LEFT) {
    return x[row * LEFT + column];
  }
  return y[row * RIGHT + column - LEFT];
}
