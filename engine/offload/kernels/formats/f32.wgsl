fn half_unit(at: u32) -> mat4x4<f32> {
  return mat4x4<f32>(
    bitcast<vec4<f32>>(quads[at]),
    bitcast<vec4<f32>>(quads[at + 1u]),
    bitcast<vec4<f32>>(quads[at + 2u]),
    bitcast<vec4<f32>>(quads[at + 3u]),
  );
}

fn weights(row: u32, unit: u32) -> Weights {
  let at = 8u * (row * UNITS + unit);
  return Weights(half_unit(at), half_unit(at + 4u));
}
