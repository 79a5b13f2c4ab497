package pdu

import "unicode/utf16"

// udOctets is the room of the user data field of a SUBMIT and of a DELIVER (TS
// 23.040 9.2.3.16).
const udOctets = 140

// plan is how a text will be cut: what Count tells and Encode carries out, so
// that the two cannot disagree.
type plan struct {
	encoding Encoding
	tables   gsm7Tables // for GSM7
	wide     bool
	runes    []rune
	ends     []int // of each segment, in runes
	// units in the whole text, in the last segment, and the room of one.
	units, last, room int
	outside           []Outside
}

// newPlan decides on the alphabet and cuts. When GSM7 was asked for and does
// not fit, there are no segments but there is an outside.
func newPlan(text string, o Options) plan {
	runes, at := compose(text)
	p := plan{encoding: o.Encoding, wide: o.Wide, runes: runes}
	switch o.Encoding {
	case UCS2:
		p.cut()
		p.outside = outside(runes, at, gsm7Tables{})
	case Auto, GSM7:
		p.encoding = GSM7
		best, missing, ok := p.chooseTables(o.choices())
		if !ok {
			p.outside = outside(runes, at, missing)
			if o.Encoding == GSM7 {
				p.room = p.roomFor(1)
				return p
			}
			p.encoding = UCS2
			p.cut()
			return p
		}
		return best
	}
	return p
}

// chooseTables cuts by the tables that make the fewest segments, then the
// fewest septets; the default alphabet, when it fits, is taken at once: a
// handset without the national tables shows it right. When none fits, missing
// are those that lack the fewest characters.
func (p plan) chooseTables(choices []gsm7Tables) (best plan, missing gsm7Tables, ok bool) {
	lacking := -1
	for _, g := range choices {
		n := 0
		for _, r := range p.runes {
			if g.septets(r) == 0 {
				n++
			}
		}
		if n > 0 {
			if lacking < 0 || n < lacking {
				lacking, missing = n, g
			}
			continue
		}
		q := p
		q.tables = g
		q.cut()
		if !ok || len(q.ends) < len(best.ends) || len(q.ends) == len(best.ends) && q.units < best.units {
			best, ok = q, true
		}
		if g == (gsm7Tables{}) {
			break
		}
	}
	return best, missing, ok
}

// size is how many units a character takes. It is never split: an escape stays
// with its septet, a surrogate with its pair.
func (p *plan) size(r rune) int {
	if p.encoding == UCS2 {
		return utf16.RuneLen(r)
	}
	return p.tables.septets(r)
}

// header is the length of the user data header of each of n segments, its own
// length octet included.
func (p *plan) header(n int) int {
	h := 0
	switch {
	case n > 1 && p.wide:
		h += 6 // 16-bit reference, 9.2.3.24.8
	case n > 1:
		h += 5 // 8-bit reference, 9.2.3.24.1
	}
	if p.encoding == GSM7 && p.tables.shift != 0 {
		h += 3 // 9.2.3.24.15
	}
	if p.encoding == GSM7 && p.tables.locking != 0 {
		h += 3 // 9.2.3.24.16
	}
	if h > 0 {
		h++
	}
	return h
}

// roomFor is the room of each of n segments, in septets or 16-bit units.
func (p *plan) roomFor(n int) int {
	if p.encoding == UCS2 {
		return (udOctets - p.header(n)) / 2
	}
	return (udOctets - p.header(n)) * 8 / 7 // fill bits make the text begin at a septet
}

// cut fills the segments from the front.
func (p *plan) cut() {
	p.units = 0
	for _, r := range p.runes {
		p.units += p.size(r)
	}
	p.room = p.roomFor(1)
	switch {
	case p.units == 0:
		p.ends, p.last = nil, 0
		return
	case p.units <= p.room:
		p.ends, p.last = []int{len(p.runes)}, p.units
		return
	}
	p.room = p.roomFor(2)
	p.ends, p.last = make([]int, 0, p.units/(p.room-1)+1), 0
	for i, r := range p.runes {
		n := p.size(r)
		if p.last+n > p.room {
			p.ends = append(p.ends, i)
			p.last = 0
		}
		p.last += n
	}
	p.ends = append(p.ends, len(p.runes))
}

// Count says what a text will cost, exactly as Encode encodes it; it is as
// cheap as looking at each character a few times. An empty text has no
// segments. So has one that GSM7 was asked for and that does not fit:
// OutsideGSM7 says why. A text of more than MaxSegments is counted too, though
// Encode refuses it.
func Count(text string, o Options) Measure {
	p := newPlan(text, o)
	m := Measure{
		Encoding:    p.encoding,
		Characters:  p.units,
		Segments:    len(p.ends),
		PerSegment:  p.room,
		OutsideGSM7: p.outside,
	}
	m.LeftInSegment = m.PerSegment - p.last
	return m
}
