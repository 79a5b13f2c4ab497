// Package credit knows how a SIM's balance is asked for: the USSD code of each
// operator, and how the money is read out of what the network answers. It is
// data and pure functions; package pool does the asking.
package credit

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Operator says how the balance of its SIMs is asked for.
type Operator struct {
	// Name is how people know it, and its key: "Movistar".
	Name string
	// Networks are home networks, MCC and MNC as an IMSI begins (TS 23.003 2.2):
	// "21407". The longest that fits counts, over all operators.
	Networks []string
	// Names are looked for, without regard to case, in the name that the network
	// gives (AT+COPS), for SIMs whose home network nobody lists.
	Names []string
	// Code is the USSD code; Reply, when not empty, is what the menu that it brings
	// is answered with.
	Code, Reply string
	// Pattern finds the money in the answer: see Compile. "" leaves it to Find.
	Pattern string
	// Currency is that of an amount without one (ISO 4217).
	Currency string
	// Every is the least time between two checks that nobody asked for: some
	// operators charge for more.
	Every time.Duration
	// Tested: somebody has seen it work. What is shipped was read, not tried.
	Tested bool
}

// day is the usual Operator.Every.
const day = 24 * time.Hour

// Operators are those that are shipped, as examples: none of them was tried.
func Operators() []Operator { return slices.Clone(shipped) }

// Of finds the operator of a SIM: by the home network in its IMSI, else by the
// name of the network that it is in. Virtual operators have networks of their
// own or use their host's; then only a rule of one's own tells them apart.
func Of(imsi, network string) (Operator, bool) {
	best, fit := -1, 0
	for i, o := range shipped {
		for _, n := range o.Networks {
			if len(n) > fit && strings.HasPrefix(imsi, n) {
				best, fit = i, len(n)
			}
		}
	}
	if best < 0 {
		best = slices.IndexFunc(shipped, func(o Operator) bool { return named(o, network) })
	}
	if best < 0 {
		return Operator{}, false
	}
	return shipped[best], true
}

// Named finds an operator by its name.
func Named(name string) (Operator, bool) {
	i := slices.IndexFunc(shipped, func(o Operator) bool { return strings.EqualFold(o.Name, name) })
	if i < 0 {
		return Operator{}, false
	}
	return shipped[i], true
}

func named(o Operator, network string) bool {
	network = strings.ToLower(network)
	return slices.ContainsFunc(o.Names, func(n string) bool { return strings.Contains(network, n) })
}

// patternMost bounds a pattern that somebody gives.
const patternMost = 500

// ErrNoGroup: a pattern does not say where the number is.
var ErrNoGroup = errors.New("the pattern has no group named amount: write (?P<amount>[0-9.,]+) where the number is")

// Compile reads a pattern: a regular expression (RE2) with a group named amount,
// or cents when the number counts hundredths, and if need be one named currency.
// It is applied to the answer with every run of blanks and line ends as one blank.
// ErrNoGroup when there is no such group.
func Compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > patternMost {
		return nil, fmt.Errorf("the pattern is longer than %d characters", patternMost)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("the pattern is no regular expression: %w", err)
	}
	if re.SubexpIndex("amount") < 0 && re.SubexpIndex("cents") < 0 {
		return nil, ErrNoGroup
	}
	return re, nil
}

// codeShape is what a balance code may be. What it may not be about is for pool,
// which keeps the list of what is never sent.
var codeShape = regexp.MustCompile(`^[*#][0-9*#]{1,28}#$`)

// CheckCode says what is wrong with a code; nil: nothing.
func CheckCode(code string) error {
	if !codeShape.MatchString(code) {
		return fmt.Errorf("a balance code begins with * or #, ends with # and has up to 30 digits, * and #: *123#")
	}
	return nil
}
