// From the `peaks` of each row: where its highest value is, of equal ones the first, and the
// logarithm of its share of the sum of exp, as bits; 1 if not all are finite.
@group(0) @binding(2) var<storage, read> peaks: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> best: array<vec2<u32>>;

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let first = lane.group.x * PIECES;
  var mine = vec4(-3.4e38f, 0f, 0f, 0f);
  for (var i = lane.index; i < PIECES; i += LANES) {
    let peak = peaks[first + i];
    let most = max(mine.x, peak.x);
    let sum = mine.z * exp(mine.x - most) + peak.z * exp(peak.x - most);
    mine = vec4(most, select(mine.y, peak.y, peak.x > mine.x), sum, max(mine.w, peak.w));
  }
  let highest = max_of_lanes(mine, lane);
  let place = select(-16777216f, -mine.y, mine.x == highest.x);
  let least = max_of_lanes(vec4(place), lane).x;
  let sum = sum_of_lanes(vec4(mine.z * exp(mine.x - highest.x)), lane).x;
  if (lane.index == 0u) {
    best[lane.group.x] = vec2(u32(-least), bitcast<u32>(select(-log(sum), 1f, highest.w > 0f)));
  }
}
