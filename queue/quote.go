package queue

import (
	"context"
	"errors"
	"time"

	"recado/modem/pdu"
)

// Quote is what a Request would cost.
type Quote struct {
	pdu.Measure
	// TransliteratedText is the text in GSM 7-bit's characters as far as it goes.
	TransliteratedText   string
	Recipients, Accepted int
	Rejected             []Rejection
	TotalSegments        int           // over all accepted recipients
	Numbers              []string      // the accepted recipients, as they are stored
	ValidFor             time.Duration // from the moment that it may be sent
}

// Quote measures a Request and stores nothing. It errs with *Invalid for what
// Submit would refuse whatever the recipient; but a text that is too long or
// does not fit its encoding is measured too, so that a page can show by how
// much.
func (s *Store) Quote(_ context.Context, r Request) (Quote, error) {
	q := Quote{Recipients: len(r.To)}
	d, err := s.draft(r)
	if bad, ok := errors.AsType[*Invalid](err); ok && d != nil && bad.Field == "text" && d.measure.Segments > 0 {
		err = nil // measured: the figures say what is wrong
	}
	if err != nil {
		return Quote{}, err
	}
	numbers, rejected := s.recipients(r.To)
	q.Measure = d.measure
	q.TransliteratedText = pdu.Transliterate(r.Text)
	q.Accepted, q.Rejected = len(numbers), rejected
	q.TotalSegments = q.Accepted * q.Segments
	q.Numbers, q.ValidFor = numbers, d.ValidFor
	return q, nil
}
