package emulator

import "time"

// ussdService finds who answers a code, as the table in doc.go has it. What the
// balance is asked by differs from one operator to the next.
func (m *Modem) ussdService(code string) ussdState {
	services := map[string]ussdState{
		"*100#": menu, "*101#": says(ussdWords{text: ussdBonus}),
		"*102#": says(ussdWords{text: "Información: 12,34 €, válido hasta mañana 😀", wide: true}),
		"*103#": says(ussdWords{text: "Saldo: 12,34 €", wide: true, lang: "es"}),
		"*104#": says(),
		"*105#": says(ussdWords{m: 2, text: "Servicio cerrado. Hasta pronto."}),
		"*106#": says(ussdWords{m: 2, bare: true}, ussdWords{after: time.Second, text: "Su saldo es 12,34 EUR."}),
		"*107#": says(ussdWords{m: 4, bare: true}),
		"*108#": says(ussdWords{after: 20 * time.Second, text: "Perdone la espera: 12,34 EUR."}),
		"*109#": refuses(257),
		"*110#": says(ussdWords{text: "1. Bien\nOK\n+CMTI: \"SM\",1\nERROR\n2. Fin"}),
		"*112#": says(ussdWords{after: 45 * time.Second, text: "Tarde: 12,34 EUR."}),
		"*113#": says(ussdWords{text: `Su plan "Plus" está activo`}),
		"*114#": says(ussdWords{m: 2, bare: true}),
		"*115#": says(ussdWords{m: 3, bare: true}),
		"*116#": says(ussdWords{m: 5, bare: true}),
		"*117#": says(ussdWords{m: 1, text: "Introduzca el importe:", patience: 10 * time.Second}),
		"*118#": says(ussdWords{text: "1250"}),
		"*#06#": says(ussdWords{text: m.o.IMEI}),
	}
	number := m.creditServices(services)
	services[number] = func(m *Modem, _ string) ([]ussdWords, ussdState, error) {
		return []ussdWords{{text: "Su numero es " + m.sim.number}}, nil, nil
	}
	if s, ok := services[code]; ok {
		return s
	}
	return says(ussdWords{text: "Código desconocido."})
}

const ussdBonus = "Saldo: 12,34 €\nBono Mañana [2 GB]\nCaduca el 31/12"

// says is a service that only says something; a last word with m 1 takes any
// reply.
func says(words ...ussdWords) ussdState {
	return func(*Modem, string) ([]ussdWords, ussdState, error) {
		if n := len(words); n > 0 && words[n-1].m == 1 {
			return words, thanks, nil
		}
		return words, nil, nil
	}
}

func refuses(cme int) ussdState {
	return func(*Modem, string) ([]ussdWords, ussdState, error) { return nil, nil, cmeError(cme) }
}

// menu is *100#: a menu over several levels.
func menu(*Modem, string) ([]ussdWords, ussdState, error) {
	return []ussdWords{{m: 1, text: "Menu\n1. Saldo\n2. Bonos\n3. Mi numero\n0. Salir"}}, choose, nil
}

func choose(m *Modem, input string) ([]ussdWords, ussdState, error) {
	switch input {
	case "1":
		return []ussdWords{{text: "Su saldo es 12,34 EUR."}}, nil, nil
	case "2":
		return []ussdWords{{m: 1, text: "Bonos\n1. 1 GB 5 €\n2. 3 GB 9 €\n0. Volver"}}, chooseBonus, nil
	case "3":
		return []ussdWords{{text: "Su numero es " + m.sim.number}}, nil, nil
	case "0":
		return []ussdWords{{m: 2, text: "Gracias."}}, nil, nil
	}
	words, next, err := menu(m, input)
	words[0].text = "Opción no válida.\n" + words[0].text
	return words, next, err
}

func chooseBonus(m *Modem, input string) ([]ussdWords, ussdState, error) {
	switch input {
	case "0":
		return menu(m, input)
	case "1", "2":
		return []ussdWords{{text: "Bono contratado."}}, nil, nil
	}
	return choose(m, "2")
}

// thanks takes the reply to a question of the network's own.
func thanks(*Modem, string) ([]ussdWords, ussdState, error) {
	return []ussdWords{{text: "Gracias."}}, nil, nil
}
