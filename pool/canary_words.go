package pool

import (
	"fmt"
	"strings"
	"time"

	"recado/queue"
)

// muteWords say in a language, "es" or "en", what a SIM in quarantine does not
// do.
func muteWords(m queue.Mute, language string) string {
	es := strings.HasPrefix(language, "es")
	n := len(m.Legs)
	switch {
	case m.NoTell && es:
		return fmt.Sprintf("no envía o no recibe: %d mensajes de prueba a sí misma no llegaron ni dieron informe, y no ha entrado nada más; mire el módem, la antena y el contrato", n)
	case m.NoTell:
		return fmt.Sprintf("it does not send or does not receive: %d test messages to itself neither arrived nor were reported, and nothing else came in; look at the modem, the antenna and the contract", n)
	case m.NoSend && m.NoReceive && es:
		return fmt.Sprintf("ni envía ni recibe, aunque está en la red: %d mensajes de prueba se perdieron y los de otras líneas llegan; mire el módem, la antena y el contrato", n)
	case m.NoSend && m.NoReceive:
		return fmt.Sprintf("it neither sends nor receives though it is registered: %d test messages were lost and other lines' arrive; look at the modem, the antenna and the contract", n)
	case m.NoReceive && es:
		return fmt.Sprintf("no recibe, aunque está en la red: %d mensajes de prueba a ella no llegaron y a otras líneas sí; solo se envía por ella si no puede otra; mire si su número es el correcto, si su memoria está llena y el contrato", n)
	case m.NoReceive:
		return fmt.Sprintf("it does not receive though it is registered: %d test messages to it did not arrive, and those to other lines did; it is sent on only when no other can; see whether its number is right, its memory is full, and its contract", n)
	case es:
		return fmt.Sprintf("no envía, aunque está en la red y parece que sí: %d mensajes de prueba suyos no llegaron y los de otras líneas sí; mire el saldo y el contrato", n)
	}
	return fmt.Sprintf("it does not send though it is registered and seems to: %d test messages from it did not arrive, and other lines' did; check its credit and contract", n)
}

// muteFinding is the code of the finding about a SIM in quarantine; "" for none.
func muteFinding(m queue.Mute) string {
	switch {
	case m.NoTell && (m.NoSend || m.NoReceive):
		return "line_mute_alone"
	case m.NoSend && m.NoReceive:
		return "line_mute"
	case m.NoReceive:
		return "line_no_receive"
	case m.NoSend:
		return "line_no_send"
	}
	return ""
}

// In says in a language, "es" or "en", what the SIM does not do, and what to
// look at.
func (q Quarantine) In(language string) string { return muteWords(q.Mute, language) }

// canaryWords are the ends of canaries, English and Spanish.
var canaryWords = map[string][2]string{
	string(queue.CanaryWaiting): {"it has not left yet", "todavía no ha salido"},
	string(queue.CanaryOut):     {"accepted; it has not arrived yet", "aceptado; todavía no ha llegado"},
	string(queue.CanaryArrived): {"it arrived", "llegó"},
	queue.CanaryLate:            {"it arrived late, after it had been given up", "llegó tarde, cuando ya se daba por perdido"},
	queue.CanaryNoReport:        {"the network took it; it did not arrive, and no delivery report came", "la red lo aceptó; no llegó, y no hubo informe de entrega"},
	queue.CanaryDelivered:       {"the network reports it delivered; it did not arrive here", "la red dice que se entregó; aquí no llegó"},
	queue.CanaryUndelivered:     {"the network reports that it could not be delivered", "la red dice que no se pudo entregar"},
	queue.CanaryUnconfirmed:     {"its submission was not answered, and it did not arrive", "el envío quedó sin respuesta, y no llegó"},
	queue.CanaryOtherSIM:        {"it arrived on another SIM of this box: the number that is kept is not this SIM's", "llegó a otra SIM de este equipo: el número guardado no es el de esta SIM"},
	queue.CanaryBadNumber:       {"the network refused the number: see whether it is this SIM's", "la red rechazó el número: mire si es el de esta SIM"},
	queue.CanaryPaused:          {"it did not leave: sending was paused", "no salió: el envío estaba en pausa"},
	queue.CanaryNotReady:        {"no result: one of the two SIMs was not ready", "sin resultado: una de las dos SIM no estaba lista"},
	queue.CanaryNoTurn:          {"it did not leave in time: the line was busy, or at a limit", "no salió a tiempo: la línea estaba ocupada o en un límite"},
	queue.CanaryCancelled:       {"its message was cancelled or held", "su mensaje se canceló o quedó retenido"},
	queue.CanaryNotTaken:        {"the modem did not take it", "el módem no lo aceptó"},
	string(queue.CanaryRefused): {"the network refused it", "la red lo rechazó"},
	string(queue.CanaryMissed):  {"it did not arrive", "no llegó"},
	string(queue.CanaryVoid):    {"no result", "sin resultado"},
}

// CanaryIn says in a language, "es" or "en", what became of a canary, with its
// times.
func CanaryIn(c queue.Canary, language string) string {
	es := 0
	if strings.HasPrefix(language, "es") {
		es = 1
	}
	detail, _, _ := strings.Cut(c.Detail, ":")
	if detail == queue.CanaryNoReport && c.Reported >= 0 { // it came since
		switch c.MessageState {
		case queue.Delivered:
			detail = queue.CanaryDelivered
		case queue.Undelivered:
			detail = queue.CanaryUndelivered
		}
	}
	w, ok := canaryWords[detail]
	if !ok || detail == "" {
		w = canaryWords[string(c.State)]
	}
	text := w[es]
	if c.State == queue.CanaryRefused && c.Detail != "" && c.Detail != queue.CanaryNotTaken {
		text += " (" + c.Detail + ")"
	}
	for _, step := range []struct {
		after time.Duration
		words [2]string
	}{
		{c.Accepted, [2]string{"accepted after %s", "aceptado a los %s"}},
		{c.Reported, [2]string{"reported after %s", "informe a los %s"}},
		{c.Arrived, [2]string{"arrived after %s", "llegada a los %s"}},
	} {
		if step.after >= 0 {
			text += "; " + fmt.Sprintf(step.words[es], seconds(step.after, es == 1))
		}
	}
	return text
}

// seconds is a duration as people read it: 0.8 s, 12 s, 3 min 5 s.
func seconds(d time.Duration, comma bool) string {
	switch {
	case d < 10*time.Second:
		s := fmt.Sprintf("%.1f s", d.Seconds())
		if comma {
			s = strings.Replace(s, ".", ",", 1)
		}
		return s
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
