fn value(t: u32, i: u32) -> f32 {
  let given = x[t * WIDTH + i];
  return unless_nan(given, CAP * tanh(clamp(given / CAP, -15f, 15f)));
}
