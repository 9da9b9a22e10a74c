// erf by Abramowitz and Stegun 7.1.26: within 1.5e-7
fn activated(x: f32) -> f32 {
  let z = abs(x) * 0.7071067812f;
  let t = 1f / (1f + 0.3275911f * z);
  let series = t * (0.254829592f
    + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  let rest = series * exp(-min(z * z, 80f));  // 1 - erf(z)
  return x * select(1f - 0.5f * rest, 0.5f * rest, x < 0f);
}
