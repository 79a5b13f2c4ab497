package modem

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"recado/modem/at"
	"recado/modem/emulator"
)

func (l *lifeOf) ussd(code string) USSDAnswer {
	l.t.Helper()
	a, err := l.m.USSD(l.t.Context(), code)
	require.NoError(l.t, err, code)
	return a
}

func (l *lifeOf) reply(text string) USSDAnswer {
	l.t.Helper()
	a, err := l.m.USSDReply(l.t.Context(), text)
	require.NoError(l.t, err, text)
	return a
}

func done(text string) USSDAnswer { return USSDAnswer{text, USSDDone} }

const (
	balance  = "Su saldo es 12,34 EUR."
	mainMenu = "Menu\n1. Saldo\n2. Bonos\n3. Mi numero\n0. Salir"
)

// Every family, with every answer that the network has.
func TestUSSDOfEveryFamily(t *testing.T) {
	for _, name := range emulator.Families() {
		t.Run(name, func(t *testing.T) {
			live(t, emulator.ModemOptions{Family: name}, nil, func(l *lifeOf) {
				l.ready()
				require.Equal(l.t, done(balance), l.ussd("*123#"))
				require.Equal(l.t, done("Saldo: 12,34 €\nBono Mañana [2 GB]\nCaduca el 31/12"), l.ussd("*101#"))
				require.Equal(l.t, done("Información: 12,34 €, válido hasta mañana 😀"), l.ussd("*102#"))
				require.Equal(l.t, done("Saldo: 12,34 €"), l.ussd("*103#"))
				require.Equal(l.t, done("1. Bien\nOK\n+CMTI: \"SM\",1\nERROR\n2. Fin"), l.ussd("*110#"))
				require.Equal(l.t, USSDDone, l.ussd("*113#").Status)
				require.Equal(l.t, done("1250"), l.ussd("*118#"))
				require.Equal(l.t, USSDAnswer{mainMenu, USSDReplyWanted}, l.ussd("*100#"))
				require.Equal(l.t, USSDAnswer{"Bonos\n1. 1 GB 5 €\n2. 3 GB 9 €\n0. Volver", USSDReplyWanted}, l.reply("2"))
				require.Equal(l.t, USSDAnswer{mainMenu, USSDReplyWanted}, l.reply("0"))
				require.Equal(l.t, done(balance), l.reply("1"))
				o, _ := l.send("+34600111222", "hola")
				require.Equal(l.t, Accepted, o.Verdict, "%+v", o)
				require.Zero(l.t, l.m.Snapshot().Restarts)
			})
		})
	}
}

func TestUSSDStatuses(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		for code, want := range map[string]USSDAnswer{
			"*105#": {"Servicio cerrado. Hasta pronto.", USSDTerminated},
			"*106#": {balance, USSDDone}, // two codes
			"*107#": {"", USSDUnsupported},
			"*108#": {"Perdone la espera: 12,34 EUR.", USSDDone},
			"*114#": {"", USSDTerminated}, "*115#": {"", USSDElsewhere}, "*116#": {"", USSDTimeout},
		} {
			require.Equal(l.t, want, l.ussd(code), code)
			_, err := l.m.USSDReply(l.t.Context(), "1")
			require.ErrorIs(l.t, err, ErrNoUSSDSession, code)
		}
		_, err := l.m.USSD(l.t.Context(), "*109#")
		require.ErrorIs(l.t, err, ErrUSSDRefused)
		require.ErrorIs(l.t, err, at.CMEError(257))
		l.pass(time.Second)
		last := ""
		for _, e := range l.m.Trace() {
			if e.Out && strings.HasPrefix(e.Line, "AT+CUSD") {
				last = e.Line
			}
		}
		require.Equal(l.t, "AT+CUSD=2", last, "after an error")
		_, err = l.m.USSD(l.t.Context(), "ñ\r\x1a")
		require.ErrorIs(l.t, err, ErrUSSDRefused, "nothing is left of it")
	})
}

// What an earlier request was answered, too late, is not the next one's answer.
func TestUSSDLateAnswer(t *testing.T) {
	for _, family := range []string{"generic", "quectel"} { // the second says +CUSD: 2 to AT+CUSD=2
		live(t, emulator.ModemOptions{Family: family}, nil, func(l *lifeOf) {
			l.ready()
			began := time.Now()
			require.Equal(l.t, USSDAnswer{"", USSDTimeout}, l.ussd("*104#"))
			require.WithinDuration(l.t, began.Add(30*time.Second), time.Now(), 2*time.Second)
			require.Equal(l.t, USSDAnswer{"", USSDTimeout}, l.ussd("*112#"))
			// A modem that has not ended the dialogue: the text comes while the next
			// session begins.
			l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CUSD=2", Text: "\r\nOK\r\n\r\n+CUSD: 0,\"Tarde\",15\r\n"})
			require.Equal(l.t, done(balance), l.ussd("*123#"))
			require.Equal(l.t, USSDAnswer{mainMenu, USSDReplyWanted}, l.ussd("*100#"), "an old session is ended by the next")
			require.Equal(l.t, done("Su numero es "+l.em.Number()), l.ussd("*133#"))
			require.Contains(l.t, l.history(), "an answer to a USSD request that was given up has come after all")
			require.NotContains(l.t, l.history(), "Tarde")
		})
	}
}

// Nor when it comes a moment after AT+CUSD=2.
func TestUSSDAnswerAfterTheEnd(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		require.Equal(l.t, USSDTimeout, l.ussd("*104#").Status)
		answer := make(chan USSDAnswer, 1)
		go func() { answer <- l.ussd("*123#") }()
		l.pass(time.Second)
		l.em.Say("+CUSD: 0,\"Tarde\",15", "")
		require.Equal(l.t, done(balance), <-answer)
	})
}

// The end of the dialogue before, told late, is no answer either.
func TestUSSDEchoOfTheEnd(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.ussd("*100#")
		answer := make(chan USSDAnswer, 1)
		go func() { answer <- l.ussd("*108#") }()
		l.until("the request", time.Minute, func() bool { return l.wrote("AT+CUSD=1") == 2 })
		l.em.Say("+CUSD: 2", "")
		require.Equal(l.t, done("Perdone la espera: 12,34 EUR."), <-answer)
	})
}

func (l *lifeOf) history() string {
	var b strings.Builder
	for _, e := range l.m.History() {
		b.WriteString(string(e.Kind) + " " + e.Text + " " + e.Detail + "\n")
	}
	return b.String()
}

func TestUSSDFromTheNetwork(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		require.NoError(l.t, l.net.NotifyUSSD(l.em.ICCID(), "Oferta secreta", false))
		l.pass(time.Second)
		require.Contains(l.t, l.history(), "ussd the network sent a USSD message that nobody asked for m 0, dcs 15, text of 14")
		require.Zero(l.t, l.wrote("AT+CUSD=2"))
		require.NoError(l.t, l.net.NotifyUSSD(l.em.ICCID(), "¿Quiere?", true))
		l.pass(4 * time.Second)
		_, err := l.m.USSDReply(l.t.Context(), "1")
		require.ErrorIs(l.t, err, ErrNoUSSDSession, "nobody here was asked")
		l.until("the end of it", 5*time.Second, func() bool { return l.wrote("AT+CUSD=2") == 1 })
		require.NotContains(l.t, l.history(), "secreta")
		require.Equal(l.t, done(balance), l.ussd("*123#"))
	})
}

func TestUSSDSessionsEnd(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		open := func() { require.Equal(l.t, USSDReplyWanted, l.ussd("*100#").Status) }
		none := func(why string) {
			_, err := l.m.USSDReply(l.t.Context(), "1")
			require.ErrorIs(l.t, err, ErrNoUSSDSession, why)
		}
		open()
		require.NoError(l.t, l.m.USSDEnd(l.t.Context()))
		none("ended")
		require.NoError(l.t, l.m.USSDEnd(l.t.Context()), "twice")
		require.Equal(l.t, USSDReplyWanted, l.ussd("*117#").Status)
		l.pass(11 * time.Second)
		none("the network took it back")
		open()
		l.pass(2*time.Minute + time.Second)
		none("the network gave up")
		// A network that waits for ever: we do not.
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CUSD=1", Text: "\r\nOK\r\n\r\n+CUSD: 1,\"¿\",15\r\n"})
		l.ussd("*1#")
		cancels := l.wrote("AT+CUSD=2")
		l.pass(ussdIdle - 2*time.Second)
		require.Equal(l.t, cancels, l.wrote("AT+CUSD=2"))
		l.pass(4 * time.Second)
		require.Equal(l.t, cancels+1, l.wrote("AT+CUSD=2"))
		none("three minutes")
		open()
		l.em.Reboot()
		l.until("the reboot", time.Minute, func() bool { return l.m.Snapshot().State != StateReady })
		_, err := l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, ErrNotReady)
		l.ready()
		none("the modem has forgotten it")
	})
}

func TestUSSDGivenUp(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		ctx, cancel := context.WithTimeoutCause(l.t.Context(), 5*time.Second, errors.New("no patience"))
		defer cancel()
		began := time.Now()
		_, err := l.m.USSD(ctx, "*104#")
		require.EqualError(l.t, err, "no patience")
		require.Equal(l.t, 5*time.Second, time.Since(began).Truncate(time.Second))
		l.until("its end", 2*time.Second, func() bool { return l.wrote("AT+CUSD=2") == 2 })

		first := make(chan USSDAnswer, 1)
		go func() { first <- l.ussd("*104#") }()
		l.pass(10 * time.Second)
		_, err = l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, ErrUSSDBusy)
		_, err = l.m.USSDReply(l.t.Context(), "1")
		require.ErrorIs(l.t, err, ErrUSSDBusy)
		require.NoError(l.t, l.m.USSDEnd(l.t.Context()))
		require.Equal(l.t, USSDAnswer{"", USSDTerminated}, <-first)
		require.Equal(l.t, done(balance), l.ussd("*123#"))

		go func() { _, err := l.m.USSD(l.t.Context(), "*104#"); first <- USSDAnswer{Text: err.Error()} }()
		l.pass(5 * time.Second)
		l.em.Unplug()
		require.Contains(l.t, (<-first).Text, ErrNotReady.Error())
	})
}

// A request goes behind sends; while its answer is awaited sends wait; while a
// person is asked they do not, and win.
func TestUSSDAndSends(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				o, _ := l.send("+34600111222", "uno")
				require.Equal(l.t, Accepted, o.Verdict)
			})
		}
		require.Equal(l.t, USSDDone, l.ussd("*108#").Status)
		wg.Wait()
		asked := time.Time{}
		var sent []time.Duration
		for _, e := range l.m.Trace() {
			switch {
			case e.Out && strings.HasPrefix(e.Line, "AT+CUSD=1"):
				asked = e.At
			case e.Out && strings.HasPrefix(e.Line, "AT+CMGS") && !asked.IsZero():
				sent = append(sent, e.At.Sub(asked))
			}
		}
		for _, d := range sent {
			require.Greater(l.t, d, 20*time.Second, "a message was submitted while the answer was awaited")
		}
		require.Equal(l.t, USSDReplyWanted, l.ussd("*100#").Status)
		o, _ := l.send("+34600111222", "dos")
		require.Equal(l.t, Accepted, o.Verdict)
		require.Equal(l.t, done(balance), l.reply("1"), "the session is still there")

		require.Equal(l.t, USSDReplyWanted, l.ussd("*100#").Status)
		cancels := l.wrote("AT+CUSD=2")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultCMSRefused, Code: 38})
		o, _ = l.send("+34600111222", "tres")
		require.Equal(l.t, Rejected, o.Verdict)
		l.pass(time.Second)
		require.Equal(l.t, cancels+1, l.wrote("AT+CUSD=2"), "it may have been in the way")
		_, err := l.m.USSDReply(l.t.Context(), "1")
		require.ErrorIs(l.t, err, ErrNoUSSDSession)
	})
}

// The coding that the modem takes is found and remembered, also over a restart.
func TestUSSDCodingIsLearned(t *testing.T) {
	live(t, emulator.ModemOptions{Family: "huawei"}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CUSD=1,", Count: 1}) // packed is refused
		require.Equal(l.t, done(balance), l.ussd("*123#"))
		require.Equal(l.t, 1, l.wrote("AT^USSDMODE=0"))
		require.Equal(l.t, 2, l.wrote("AT+CUSD=1"))
		require.Equal(l.t, done("Saldo: 12,34 €\nBono Mañana [2 GB]\nCaduca el 31/12"), l.ussd("*101#"))
		require.Equal(l.t, 3, l.wrote("AT+CUSD=1"), "remembered")
		require.Contains(l.t, l.history(), "the modem takes USSD as text")
		l.em.Unplug()
		l.state(StateAbsent, time.Minute)
		l.em.Replug()
		l.ready()
		require.Equal(l.t, done(balance), l.ussd("*123#"))
		require.Equal(l.t, 4, l.wrote("AT+CUSD=1"), "by the modem, not by the port's opening")
	})
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) { // UCS-2, with AT+CSCS there and back
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CUSD=1,", Code: 3, Count: 1})
		require.Equal(l.t, done("Saldo: 12,34 €\nBono Mañana [2 GB]\nCaduca el 31/12"), l.ussd("*101#"))
		var sets []string
		for _, e := range l.m.Trace() {
			if e.Out && strings.HasPrefix(e.Line, "AT+CSCS=") {
				sets = append(sets, e.Line)
			}
		}
		require.Equal(l.t, []string{`AT+CSCS="GSM"`, `AT+CSCS="UCS2"`, `AT+CSCS="GSM"`}, sets)
		require.Equal(l.t, USSDReplyWanted, l.ussd("*100#").Status)
		require.Equal(l.t, done(balance), l.reply("1"))
	})
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) { // none is taken
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CUSD=1,", Count: -1})
		_, err := l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, ErrUSSDRefused)
		require.ErrorIs(l.t, err, at.ErrFailed)
		require.Equal(l.t, 3, l.wrote("AT+CUSD=1"))
		l.em.ClearFaults()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultError, On: "+CUSD=1,", Code: 30, Count: -1})
		_, err = l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, at.CMEError(30))
		require.Equal(l.t, 4, l.wrote("AT+CUSD=1"), "no network: another coding would not help")
		require.Equal(l.t, StateReady, l.m.Snapshot().State)
	})
}

// A modem that keeps AT+CUSD=1 open until the network has answered, or for ever.
func TestUSSDCommandWithoutOK(t *testing.T) {
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.em.Inject(emulator.Fault{Kind: emulator.FaultSlow, On: "+CUSD=1", Delay: 25 * time.Second})
		require.Equal(l.t, done(balance), l.ussd("*123#"))
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CUSD=1", Text: "\r\n+CUSD: 0,\"Saldo 5\",15\r\n"})
		require.Equal(l.t, done("Saldo 5"), l.ussd("*123#"), "its OK is lost")
		l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CUSD=1", Text: "\r\n+CUSD: 0,\"Saldo 6\",15\r\n\r\nERROR\r\n"})
		require.Equal(l.t, done("Saldo 6"), l.ussd("*123#"))
		l.em.Inject(emulator.Fault{Kind: emulator.FaultMute, On: "+CUSD=1"})
		require.Equal(l.t, USSDAnswer{"", USSDTimeout}, l.ussd("*123#"))
		l.ready()
		require.Equal(l.t, done(balance), l.ussd("*123#"))
		require.Zero(l.t, l.m.Snapshot().Restarts)
	})
}

// The answer may have no closing quote, no text, or a number that nobody knows.
func TestUSSDOddAnswers(t *testing.T) {
	for says, want := range map[string]USSDAnswer{
		"+CUSD: 0,\"Saldo\n5 EUR": {"Saldo\n5 EUR", USSDDone}, "+CUSD: 0": {"", USSDDone}, "+CUSD: 7,\"x\",15": {"x", USSDDone},
		"+CUSD: 7": {"", USSDTerminated}, "+CUSD: 0,\"\",15": {"", USSDDone}, "+CUSD: 0,\"00530061006C0064006F\"": {"Saldo", USSDDone},
		"+CUSD: 1,\"a\",15\r\n\r\n+CUSD: 2": {"a", USSDReplyWanted},
	} {
		live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
			l.ready()
			l.em.Inject(emulator.Fault{Kind: emulator.FaultAnswer, On: "+CUSD=1", Text: "\r\nOK\r\n\r\n" + strings.ReplaceAll(says, "\n5", "\r\n5") + "\r\n"})
			require.Equal(l.t, want, l.ussd("*123#"), says)
			l.pass(10 * time.Millisecond)
			_, err := l.m.USSDReply(l.t.Context(), "1")
			require.ErrorIs(l.t, err, ErrNoUSSDSession, says)
		})
	}
}

func TestUSSDNotReady(t *testing.T) {
	live(t, emulator.ModemOptions{NoSIM: true}, nil, func(l *lifeOf) {
		l.state(StateNoSIM, time.Minute)
		_, err := l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, ErrNotReady)
	})
	live(t, emulator.ModemOptions{}, func(c *Config) {
		c.Open = func(context.Context) (io.ReadWriteCloser, error) { return nil, errors.New("no port") }
	}, func(l *lifeOf) {
		_, err := l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, ErrNotReady)
		require.ErrorIs(l.t, l.m.USSDEnd(l.t.Context()), ErrNotReady)
	})
	live(t, emulator.ModemOptions{}, nil, func(l *lifeOf) {
		l.ready()
		l.m.SetPassive(true)
		l.pass(time.Second)
		_, err := l.m.USSD(l.t.Context(), "*123#")
		require.ErrorIs(l.t, err, errPassive)
	})
}

// An order that a modem could not take before its end waits for nobody.
func TestNoOrderWaitsForAModemThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{Name: "emulated:1", Open: func(context.Context) (io.ReadWriteCloser, error) { return nil, fs.ErrNotExist }, Sink: &box{}, Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- m.Run(ctx) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-ran, context.Canceled)
		said := make(chan error, 1)
		go func() { said <- m.Disable(context.Background()) }()
		synctest.Wait()
		require.Len(t, said, 1, "it waits for ever")
		require.ErrorIs(t, <-said, ErrNotReady)
	})
}
