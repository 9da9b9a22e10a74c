// Where the highest of each row of WIDTH values is; of equal ones the first.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> best: array<u32>;

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let first = lane.group.x * WIDTH;
  var most = x[first];
  var place = 0u;
  for (var i = lane.index; i < WIDTH; i += LANES) {
    if (x[first + i] > most) {
      most = x[first + i];
      place = i;
    }
  }
  let highest = max_of_lanes(most, lane);
  // numbers up to 2^24 are exact as floats
  let least = max_of_lanes(select(-16777216f, -f32(place), most == highest), lane);
  if (lane.index == 0u) {
    best[lane.group.x] = u32(-least);
  }
}
