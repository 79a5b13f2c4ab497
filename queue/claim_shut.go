package queue

import (
	"time"

	"recado/queue/sqlite"
)

// shutAgain is how long a message waits whose class is shut while its lane is open.
const shutAgain = 10 * time.Second

// setAside puts a message back that was just claimed from a lane which is not its
// class's: of a canary, when its class is shut, for a while; any other's lane is
// damaged, and set right. Its gate would refuse what the lane let pass, again and
// again.
func (s *Store) setAside(tx *sqlite.Tx, r *record, l Line, lane int) (aside bool, err error) {
	own := Lane(r.Class)
	switch {
	case lane == own:
		return false, nil
	case r.keyID != CanaryReference:
		s.log.Error("a message waits in a lane that is not its class's; it is put where it belongs", "id", r.ID)
		_, err := tx.Exec(`UPDATE message SET lane = ?, claimed_by = '' WHERE seq = ?`, own, r.Seq)
		return true, err
	case l.Offer == nil || !l.Offer.Shut.Has(own):
		return false, nil
	}
	r.back(s.steadyAt(s.clock.Now()).Add(shutAgain))
	return true, s.save(tx, r)
}
