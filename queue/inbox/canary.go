package inbox

import "recado/queue/sqlite"

// ofCanary is the kind of a TPDU: KindCanary for a text that this box sent itself
// to see whether its lines work, which nobody is to read. It is kept among the
// raw ones, and its arrival is noted in the same transaction.
func (s *Store) ofCanary(tx *sqlite.Tx, in In, kind string) (string, error) {
	if !hasText(kind) || in.PDU.Concat != nil && in.PDU.Concat.Total > 1 {
		return kind, nil
	}
	if ours, err := s.queue.CanaryArrived(tx, in.ICCID, in.PDU.Text); err != nil || !ours {
		return kind, err
	}
	return KindCanary, nil
}
