package queue

// Open is what of a bucket may leave now.
type Open struct {
	Bucket int64
	Lanes  Lanes
}

// Offer says what a line may take now.
type Offer struct {
	Own []Open // of what is pinned to its SIM, or bound to it, or prefers it
	Any []Open // of what any SIM may have
	// Turn is a lane that goes before its place, -1 none: so that it does not wait
	// for ever. It goes before the lane Over, and behind those before that.
	Turn, Over int
	// Shut are the classes, by their lanes, of which nothing may leave, whatever the
	// lane that it waits in: see StartCanary.
	Shut Lanes
	// Rules are those that it was made by (Store.Rules): by older ones than the
	// present nothing is taken of Any. 0: whatever they are.
	Rules int64
}

// Head is a message that is next for one or more lines.
type Head struct {
	Seq      int64
	Bucket   int64
	Class    Class
	SIM      string // whose it is; "" anybody's
	Segments int    // that are still to be sent
	Failover string // the error with which another SIM has just failed it; ""
}

// Why a SIM sends a message: Claimed.Why, attempt.why. Others are the pool's.
const (
	WhyPinned   = "pinned" // it was asked for
	WhyBound    = "bound"  // it has sent an earlier segment, or may have
	WhySticky   = "sticky" // the recipient knows its number
	WhyFirst    = "first_free"
	WhyOnly     = "only"      // no other is able
	WhyFailover = "failover:" // with the error that another had
)
