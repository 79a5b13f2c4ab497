package pdu

import "github.com/warthog618/sms/encoding/gsm7/charset"

const (
	esc       = 0x1B
	lastTable = Table(charset.Urdu)
)

// alphabets holds every table of TS 23.038 clause 6.2.1 in the shapes that the
// encoder and the decoder want. It is filled once, before anything can run
// concurrently, and only read afterwards: the library fills its own maps at
// their first use, which is a data race.
var alphabets = fillAlphabets()

type tables struct {
	// toBase and toExt say how a character is encoded by table; nil where the
	// standard defines no such table.
	toBase, toExt [lastTable + 1]map[rune]byte
	// fromBase and fromExt say what a septet means; 0 where it is not assigned.
	fromBase, fromExt [lastTable + 1][128]rune
}

func fillAlphabets() *tables {
	t := &tables{}
	for n := Table(0); n <= lastTable; n++ {
		// Not for us, but for whoever calls the library directly.
		charset.NewEncoder(int(n))
		charset.NewExtEncoder(int(n))
		base, ext := charset.NewDecoder(int(n)), charset.NewExtDecoder(int(n))
		for s, r := range base {
			t.fromBase[n][s] = r
		}
		for s, r := range ext {
			t.fromExt[n][s] = r
		}
		if n == Table(charset.Portuguese) {
			t.fromExt[n][0x1F] = 'Ê' // missing in v0.3.0 of the library
		}
		// Spanish has a single shift table only (6.2.1.2.4).
		if n != Spanish {
			t.toBase[n] = invert(&t.fromBase[n])
		}
		t.toExt[n] = invert(&t.fromExt[n])
	}
	return t
}

// invert leaves out the escape: no text may put a raw one on the air. Where two
// septets mean the same character the lower is used.
func invert(from *[128]rune) map[rune]byte {
	to := make(map[rune]byte, len(from))
	for s := len(from) - 1; s >= 0; s-- {
		if r := from[s]; r != 0 && r != esc && s != esc {
			to[r] = byte(s)
		}
	}
	return to
}

// gsm7Tables is one choice of tables; the zero value is the default alphabet with its
// extension table.
type gsm7Tables struct {
	locking, shift Table
}

// septets is how many septets a character takes, 0 when these tables do not
// have it.
func (g gsm7Tables) septets(r rune) int {
	if _, ok := alphabets.toBase[g.locking][r]; ok {
		return 1
	}
	if _, ok := alphabets.toExt[g.shift][r]; ok {
		return 2
	}
	return 0
}

// append adds the septets of a character, which the tables must have.
func (g gsm7Tables) append(dst []byte, r rune) []byte {
	if s, ok := alphabets.toBase[g.locking][r]; ok {
		return append(dst, s)
	}
	return append(dst, esc, alphabets.toExt[g.shift][r])
}

// decode turns septets into text. As 6.2.1 asks of a receiver: an escaped
// septet without a meaning of its own shows as the base table's character, a
// second escape and one at the very end as a space.
func (g gsm7Tables) decode(septets []byte) string {
	out := make([]rune, 0, len(septets))
	base, ext := &alphabets.fromBase[g.locking], &alphabets.fromExt[g.shift]
	escaped := false
	for _, s := range septets {
		s &= 0x7F
		switch {
		case escaped && s == esc:
			out = append(out, ' ')
			escaped = false
			continue
		case s == esc:
			escaped = true
			continue
		case escaped && ext[s] != 0:
			out = append(out, ext[s])
			escaped = false
			continue
		}
		escaped = false
		if base[s] == 0 {
			out = append(out, ' ')
			continue
		}
		out = append(out, base[s])
	}
	if escaped {
		out = append(out, ' ')
	}
	return string(out)
}

// choices lists the tables to try: the default alone first, then only what was
// asked for. Identifiers without a table are passed over.
func (o Options) choices() []gsm7Tables {
	list := []gsm7Tables{{}}
	for _, l := range o.Locking {
		if l == 0 || l > lastTable || alphabets.toBase[l] == nil {
			continue
		}
		list = append(list, gsm7Tables{locking: l})
	}
	locking := len(list)
	for _, s := range o.Shift {
		if s == 0 || s > lastTable {
			continue
		}
		for _, g := range list[:locking] {
			list = append(list, gsm7Tables{locking: g.locking, shift: s})
		}
	}
	return list
}
