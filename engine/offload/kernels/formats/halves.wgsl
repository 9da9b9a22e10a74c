fn half_unit(at: u32) -> mat4x4<f32> {
  let a = quads[at];
  let b = quads[at + 1u];
  return mat4x4<f32>(four(a.xy), four(a.zw), four(b.xy), four(b.zw));
}

fn weights(row: u32, unit: u32) -> Weights {
  let at = 4u * (row * UNITS + unit);
  return Weights(half_unit(at), half_unit(at + 2u));
}
