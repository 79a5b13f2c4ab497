package queue

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// zones tells the time zones of numbers. Its methods may be called by any
// goroutine.
type zones struct {
	here clockSet // of the box's own zone

	mu     sync.Mutex
	joined map[string]string   // of lists that were made shorter
	homes  map[int]*homeZones  // by calling code
	clocks map[string]clockSet // by zone
}

// clockSet is what a zone's clocks show over a year: zones with the same one need
// not be told apart.
type clockSet string

// homeZones are those of the box's own country.
type homeZones struct {
	own string // of its zones the one that shows the box's time; "": none does
	// fixed says, by a number's beginning, whether it tells a region.
	fixed map[string]bool
}

// regionDigits of a number after its country code tell whether that tells a region.
const regionDigits = 4

func newZones(local *time.Location) *zones {
	return &zones{here: clockOf(local), joined: map[string]string{}, homes: map[int]*homeZones{}, clocks: map[string]clockSet{}}
}

// of gives the IANA time zones of a number, sorted and separated by commas; of
// several that always show the same time only one. "" is not known, as of a short
// code, behind which is nobody whom it could wake. A number of the home country
// that tells no region is taken to be in the box's own zone: Spain's mobile numbers
// say Europe/Madrid also in the Canaries.
func (z *zones) of(to string, home int) string {
	if !strings.HasPrefix(to, "+") {
		return ""
	}
	list, err := phonenumbers.GetTimezonesForPrefix(to)
	if err != nil || len(list) == 0 || list[0] == phonenumbers.UNKNOWN_TIMEZONE {
		return ""
	}
	if home != 0 && callingCode(to[1:]) == home {
		if own := z.atHome(to, home); own != "" {
			return own
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return z.join(list)
}

// join writes a list that the table gives, without those that show the same time
// as another.
func (z *zones) join(list []string) string {
	whole := strings.Join(list, ",")
	z.mu.Lock()
	defer z.mu.Unlock()
	if short, ok := z.joined[whole]; ok {
		return short
	}
	var out []string
	seen := map[clockSet]bool{}
	for _, name := range slices.Backward(slices.Sorted(slices.Values(list))) {
		if c := z.clock(name); !seen[c] {
			seen[c] = true
			out = append(out, name)
		}
	}
	slices.Sort(out)
	z.joined[whole] = strings.Join(out, ",")
	return z.joined[whole]
}

// atHome is the box's zone for a number of its own country that tells no region;
// "": it tells one.
func (z *zones) atHome(to string, code int) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	h := z.homes[code]
	if h == nil {
		h = &homeZones{own: z.ownZone(code), fixed: map[string]bool{}}
		z.homes[code] = h
	}
	if h.own == "" {
		return ""
	}
	begin := to[:min(len(to), 1+len(strconv.Itoa(code))+regionDigits)]
	fixed, known := h.fixed[begin]
	if !known {
		fixed = tellsRegion(to)
		h.fixed[begin] = fixed
	}
	if fixed {
		return ""
	}
	return h.own
}

// tellsRegion says whether a number's digits say where in its country it is.
func tellsRegion(to string) bool {
	p, ok := parsed(to)
	if !ok {
		return true
	}
	switch phonenumbers.GetNumberType(p) {
	case phonenumbers.FIXED_LINE, phonenumbers.FIXED_LINE_OR_MOBILE:
		return true
	case phonenumbers.MOBILE:
		return phonenumbers.GEO_MOBILE_COUNTRIES[p.GetCountryCode()]
	}
	return false
}

// ownZone finds the box's zone among those of a country.
func (z *zones) ownZone(code int) (own string) {
	for n := range 1000 { // three digits tell the regions of every country that has several
		list, err := phonenumbers.GetTimezonesForPrefix(fmt.Sprintf("+%d%03d", code, n))
		if err != nil {
			continue
		}
		for _, name := range list {
			// Of several the last by name, which is Europe/London for Britain.
			if name > own && name != phonenumbers.UNKNOWN_TIMEZONE && z.clock(name) == z.here {
				own = name
			}
		}
	}
	return own
}

// clock is a zone's clockSet; one that this box has no rules for is itself.
func (z *zones) clock(name string) clockSet {
	c, ok := z.clocks[name]
	if !ok {
		c = clockSet(name)
		if l, err := time.LoadLocation(name); err == nil {
			c = clockOf(l)
		}
		z.clocks[name] = c
	}
	return c
}

// clockOf asks for the offset every half month of a year: of a fixed one, so that
// it does not depend on this box's clock.
func clockOf(l *time.Location) clockSet {
	var b strings.Builder
	for day := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() == 2026; day = day.AddDate(0, 0, 14) {
		_, offset := day.In(l).Zone()
		fmt.Fprintf(&b, "%d,", offset)
	}
	return clockSet(b.String())
}
