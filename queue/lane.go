package queue

// Lanes is a set of lanes, a bit each (see Lane).
type Lanes uint8

// The lanes, the first goes first: message.lane.
const (
	LaneOTP = iota
	LaneAlert
	LaneNormal
	LaneBulk
	laneCount
)

// AllLanes is every lane.
const AllLanes Lanes = 1<<laneCount - 1

// Lane of a class: 0 goes first. An unknown class is bulk.
func Lane(c Class) int {
	if p, ok := policies[c]; ok {
		return p.lane
	}
	return LaneBulk
}

// LanesOf is the set of the classes' lanes.
func LanesOf(classes ...Class) (l Lanes) {
	for _, c := range classes {
		l |= 1 << Lane(c)
	}
	return l
}

// Has says whether a lane is in the set.
func (l Lanes) Has(lane int) bool { return lane >= 0 && lane < laneCount && l&(1<<lane) != 0 }
