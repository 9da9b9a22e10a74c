fn value(t: u32, i: u32) -> f32 {
  let given = x[t * WIDTH + i];
  return unless_nan(given, clamp(given, LOWEST, HIGHEST));
}
