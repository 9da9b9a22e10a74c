fn four(words: vec2<u32>) -> vec4<f32> {
  let upper = vec4(0xffff0000u);
  return bitcast<vec4<f32>>(vec4(words.x << 16u, words.x, words.y << 16u, words.y) & upper);
}

fn half_unit(at: u32) -> mat4x4<f32> {
  let a = quads[at];
  let b = quads[at + 1u];
  return mat4x4<f32>(four(a.xy), four(a.zw), four(b.xy), four(b.zw));
}

fn weights(row: u32, unit: u32) -> Weights {
  let at = 4u * (row * UNITS + unit);
  return Weights(half_unit(at), half_unit(at + 2u));
}
