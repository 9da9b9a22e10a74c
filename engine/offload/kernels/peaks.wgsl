// Of each piece of PIECE of a row of WIDTH values: the highest, where it is first, the sum of
// exp(value - highest), and 1 if any is not finite.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> peaks: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let piece = lane.group.x;
  let first = lane.group.y * WIDTH;
  let end = min((piece + 1u) * PIECE, WIDTH);
  var most = -3.4e38f;
  var place = WIDTH;
  var endless = 0f;
  for (var i = piece * PIECE + lane.index; i < end; i += LANES) {
    let value = x[first + i];
    if ((bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u) {
      endless = 1f;
    }
    if (value > most) {
      most = value;
      place = i;
    }
  }
  let highest = max_of_lanes(vec4(most), lane).x;
  // numbers up to 2^24 are exact as floats
  let own = vec4(select(-16777216f, -f32(place), most == highest), endless, 0f, 0f);
  let found = max_of_lanes(own, lane);
  var sum = 0f;
  for (var i = piece * PIECE + lane.index; i < end; i += LANES) {
    sum += exp(x[first + i] - highest);
  }
  sum = sum_of_lanes(vec4(sum), lane).x;
  if (lane.index == 0u) {
    peaks[lane.group.y * PIECES + piece] = vec4(highest, -found.x, sum, found.y);
  }
}
