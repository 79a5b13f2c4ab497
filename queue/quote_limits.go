package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Allowance is what a SIM may send and has sent, as far as its limits ask, for
// whoever works out what comes.
type Allowance struct {
	Limits   [4]LimitUse // of Windows; without warming up
	Spans    [2]time.Duration
	Reserve  int // percent, that bulk never has
	ResetDay int
	// Warm is today's limit of a SIM that is warming up, 0: it is not; twice as
	// much on each day that follows one with traffic.
	Warm int
	// Uses are the segments of the last hour, or minute, where that has a limit.
	Uses []Used
	// starts are the labels of the day and of the month.
	starts [2]string
}

// Used are segments that were answered some time ago, in one second; 0: or not yet. A
// recipient counts where he was texted last.
type Used struct {
	Ago                  time.Duration
	Segments, Recipients int
}

// Allowances of SIMs; one that was never seen is not among them.
func (s *Store) Allowances(ctx context.Context, iccids []string) (map[string]Allowance, error) {
	all := make(map[string]Allowance, len(iccids))
	for _, iccid := range iccids {
		if _, err := s.loaded(ctx, iccid, func(m *meter, n instant) { all[iccid] = m.allowance(n) }); err != nil {
			return nil, fmt.Errorf("read what the SIM may send: %w", err)
		}
	}
	return all, nil
}

func (m *meter) allowance(n instant) Allowance {
	a := Allowance{Reserve: m.reserve, ResetDay: m.reset, Warm: m.warming(n)}
	for w := range windows {
		a.Limits[w] = m.use(w, n)
		a.Limits[w].Limit = m.base[w]
		if m.open {
			a.Limits[w].Limit = Limit{Window: Windows[w]}
		}
	}
	for i, span := range spans {
		a.Spans[i] = time.Duration(span+1) * time.Millisecond
	}
	a.starts = [2]string{m.start(daily, n), m.start(monthly, n)}
	w := hour
	if !m.slides[w].kept {
		w = minute
	}
	slide := &m.slides[w]
	if !slide.kept || m.open {
		return a
	}
	seen := map[uint64]bool{}
	for _, e := range slices.Backward(slide.entries[slide.first(spans[w], n.steady):]) {
		ago := time.Duration(max(n.steady-e.at, 0)) * time.Millisecond
		if i := len(a.Uses) - 1; i < 0 || ago-a.Uses[i].Ago >= time.Second {
			a.Uses = append(a.Uses, Used{Ago: ago})
		}
		u := &a.Uses[len(a.Uses)-1]
		if u.Segments++; !seen[e.who] {
			seen[e.who] = true
			u.Recipients++
		}
	}
	slices.Reverse(a.Uses)
	return a
}

// KnownTo is how many of the numbers a SIM has texted already in its day and in its
// month.
func (s *Store) KnownTo(ctx context.Context, iccid string, a Allowance, numbers []string) (known [2]int, err error) {
	list, err := json.Marshal(numbers)
	if err != nil {
		return known, err
	}
	for i, w := range []Window{WindowDay, WindowMonth} {
		if a.Limits[daily+i].MaxRecipients == 0 {
			continue
		}
		err := s.db.Read().QueryRowContext(ctx, `SELECT count(*) FROM json_each(?4) j WHERE EXISTS (SELECT 1 FROM usage_recipient r
			WHERE r.iccid = ?1 AND r.window = ?2 AND r.start = ?3 AND r.recipient = j.value)`, Contract(iccid), string(w), a.starts[i], string(list)).Scan(&known[i])
		if err != nil {
			return known, fmt.Errorf("look whom the SIM has texted: %w", err)
		}
	}
	return known, nil
}

// Spot is where messages of a request would wait.
type Spot struct {
	Route  int64  // 0: none
	Zone   string // see Bucket
	Prefer string // the SIM that their recipients know, for Patience; "" none
	N      int
	First  int // place of the first of them, and of the last, among the numbers
	Last   int
}

// Patience is how long a message of a class waits for the SIM that its recipient
// knows.
func Patience(c Class) time.Duration { return patience[c] }

// Spots tells where messages to these numbers would wait. It stores nothing. now:
// they may go at once, so that they may prefer a SIM.
func (s *Store) Spots(ctx context.Context, numbers []string, c Class, key string, now bool) ([]Spot, error) {
	var known map[string]string
	most := int(patience[c] / stickyPace)
	if now && most > 0 && len(numbers) > 0 {
		var err error
		if known, err = s.known(ctx, s.db.Read(), numbers); err != nil {
			return nil, err
		}
	}
	var list []Spot
	places := map[Spot]int{}
	prefer := map[string]int{}
	for i, to := range numbers {
		p := s.placeOf(to, c, key)
		k := Spot{Route: p.route, Zone: p.zone}
		if sim := known[to]; sim != "" && prefer[sim] < most && p.on.allows(p.route, sim) {
			prefer[sim]++
			k.Prefer = sim
		}
		at, ok := places[k]
		if !ok {
			at = len(list)
			places[k] = at
			k.First = i
			list = append(list, k)
		}
		list[at].N++
		list[at].Last = i
	}
	return list, nil
}
