// Floats of a format that has `codes`.
alias Unit = Codes;

fn unit_of(row: u32, unit: u32) -> Unit {
  return codes(row, unit);
}

fn weights(row: u32, unit: u32) -> Weights {
  let c = codes(row, unit);
  let ones = mat4x4<f32>(vec4(1f), vec4(1f), vec4(1f), vec4(1f));
  return Weights(
    floats_of(c.low) * c.scale.x + ones * c.offset.x,
    floats_of(c.high) * c.scale.y + ones * c.offset.y,
  );
}

fn dot_unit(c: Unit, x: Given, sum: f32) -> f32 {
  let low = fma(c.scale.x, dot16(floats_of(c.low), x.low), fma(c.offset.x, x.sums.x, sum));
  return fma(c.scale.y, dot16(floats_of(c.high), x.high), fma(c.offset.y, x.sums.y, low));
}
