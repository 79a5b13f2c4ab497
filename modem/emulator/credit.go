package emulator

import (
	"fmt"
	"strings"
)

const (
	// firstCredit is what a SIM has when nothing else is said, in cents.
	firstCredit = 1234
	// topUp is what *140# adds.
	topUp = 1000
	// poorCMS is how a network refuses a SIM without credit: short message transfer
	// rejected (TS 24.011 8.2.5.4).
	poorCMS = 21
)

// networkOf is the home network of an operator's SIMs, MCC and MNC.
func networkOf(operator string) string {
	o := strings.ToLower(operator)
	for _, n := range []struct{ name, code string }{
		{"vodafone", "21401"}, {"orange", "21403"}, {"yoigo", "21404"}, {"digi", "21422"}, {"lyca", "21425"},
	} {
		if strings.Contains(o, n.name) {
			return n.code
		}
	}
	return "21407"
}

// SetCredit sets what is left on a SIM, in cents, by its ICCID or number.
// ErrNoSuchSIM.
func (n *Network) SetCredit(iccidOrNumber string, cents int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.simLocked(iccidOrNumber)
	if s == nil {
		return ErrNoSuchSIM
	}
	s.credit = cents
	return nil
}

// Credit is what is left on a SIM, in cents. ErrNoSuchSIM.
func (n *Network) Credit(iccidOrNumber string) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.simLocked(iccidOrNumber)
	if s == nil {
		return 0, ErrNoSuchSIM
	}
	return s.credit, nil
}

// payLocked says whether the SIM can pay for a message; n.mu is held.
func (n *Network) payLocked(s *sim) bool { return s.credit > 0 && s.credit >= s.modem.price() }

// chargeLocked takes a message's price, or with drain all that is left.
func (n *Network) chargeLocked(s *sim, drain bool) {
	if drain {
		s.credit = 0
	} else if s.modem != nil {
		s.credit -= s.modem.price()
	}
}

func (m *Modem) price() int64 {
	if m == nil {
		return 0
	}
	return m.o.Price
}

// creditServices are the USSD codes for the balance, in the operator's own words:
// what its patterns are tried with. Nobody has the real ones at hand.
func (m *Modem) creditServices(services map[string]ussdState) (number string) {
	left := func() int64 {
		m.net.mu.Lock()
		defer m.net.mu.Unlock()
		return m.sim.credit
	}
	tell := func(form, mark string) ussdState {
		return func(*Modem, string) ([]ussdWords, ussdState, error) {
			return []ussdWords{{text: fmt.Sprintf(form, cents(left(), mark))}}, nil, nil
		}
	}
	number = "*133#"
	const plain = "Su saldo es %s EUR."
	switch o := strings.ToLower(m.o.Operator); {
	case strings.Contains(o, "movistar"):
		services["*133#"], number = tell(plain, ","), "*135#"
	case strings.Contains(o, "vodafone"):
		services["*134#"] = tell(plain, ",")
	case strings.Contains(o, "orange"):
		services["*111#"] = func(*Modem, string) ([]ussdWords, ussdState, error) {
			text := fmt.Sprintf("Saldo: %s €\n1. Detalle saldo\n2. Recarga tarjeta\n3. Anticipo saldo\n4. Llamame", cents(left(), ","))
			return []ussdWords{{m: 1, text: text}}, thanks, nil
		}
	case strings.Contains(o, "yoigo"):
		services["*111#"] = tell("Hola! Te quedan %s euros. Recarga en tu tienda o en el 622.", ",")
	case strings.Contains(o, "digi"):
		services["*134#"] = tell("Tu saldo es de %s EUR. Valido hasta el 31/12/2027.", ".")
	case strings.Contains(o, "lyca"):
		services["*221#"] = tell("Your balance is EUR %s. Validity: 31-12-2027. Plan: 2 GB, 100 min.", ".")
	default:
		for _, code := range []string{"*111#", "*123#", "*134#"} {
			services[code] = tell(plain, ",")
		}
	}
	services["*140#"] = func(*Modem, string) ([]ussdWords, ussdState, error) {
		m.net.mu.Lock()
		m.sim.credit += topUp
		m.net.mu.Unlock()
		return []ussdWords{{text: fmt.Sprintf("Recarga de %s EUR hecha. Su saldo es %s EUR.", cents(topUp, ","), cents(left(), ","))}}, nil, nil
	}
	return number
}

// cents writes an amount of money with that mark before the cents.
func cents(n int64, mark string) string {
	minus := ""
	if n < 0 {
		minus, n = "-", -n
	}
	return fmt.Sprintf("%s%d%s%02d", minus, n/100, mark, n%100)
}
