package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// dataFlag and configFlag are shared by the subcommands that work on an appliance.
type dataFlag struct {
	Data string `default:"/var/lib/recado" placeholder:"DIR" help:"Folder of recado.db, the control socket and the lock (${default})."`
}

type configFlag struct {
	Config configFile `placeholder:"FILE" help:"TOML file with the same keys as the flags, - written as _."`
}

// phoneFlag says which numbers are ours, wherever messages are accepted.
type phoneFlag struct {
	Country string `default:"ES" placeholder:"CC" help:"Home country: completes national numbers, and the only one to send to (${default})."`
	Abroad  bool   `help:"Send to other countries too."`
}

// AfterApply is kong's hook: a country code that is none would refuse every number.
func (p phoneFlag) AfterApply() error {
	if len(p.Country) != 2 || strings.Trim(strings.ToUpper(p.Country), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return usagef("--country %q: give two letters, as in ES or PT (ISO 3166)", p.Country)
	}
	return nil
}

// configFile is the path of a TOML file. Its keys are the flags' names with _ for -; a flag
// wins over a RECADO_… variable, a variable over the file, the file over the default.
type configFile string

// BeforeResolve is kong's hook: it reads the file before defaults are settled.
func (f configFile) BeforeResolve(app *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(configFile))
	if path == "" {
		return nil
	}
	values, err := readConfig(path, flagKeys(app.Model.Node))
	if err != nil {
		return err
	}
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if _, set := os.LookupEnv(name); set {
				return nil, nil
			}
		}
		return values[configKey(flag)], nil
	}))
	return nil
}

// configKey is the flag's name in the file.
func configKey(flag *kong.Flag) string { return strings.ReplaceAll(flag.Name, "-", "_") }

// flagKeys are the keys that a configuration file may have, with the type of each: one for
// every flag of every subcommand.
func flagKeys(node *kong.Node) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for _, flag := range node.Flags {
		switch {
		case flag.Name == "help" || flag.Name == "config": // a file cannot name itself
		case flag.Target.Type() == reflect.TypeFor[time.Duration]():
			keys[configKey(flag)] = reflect.TypeFor[string]() // as on the command line: "10m"
		default:
			keys[configKey(flag)] = flag.Target.Type()
		}
	}
	for _, child := range node.Children {
		maps.Copy(keys, flagKeys(child))
	}
	return keys
}

// readConfig reads a TOML file that has no other keys than these. Errors name file and line.
func readConfig(path string, keys map[string]reflect.Type) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	// go-toml says the line of an unknown key, or of a wrong type, only when it decodes into
	// a struct: so one is made, with a field for every key.
	var fields []reflect.StructField
	for key, of := range keys {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("F%d", len(fields)),
			Type: reflect.PointerTo(of),
			Tag:  reflect.StructTag(fmt.Sprintf(`toml:"%s"`, key)),
		})
	}
	into := reflect.New(reflect.StructOf(fields))
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(into.Interface())
	if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		line, _ := first.Position()
		return nil, fmt.Errorf("%s line %d: unknown key %q: remove it, or see `recado serve --help` for the names",
			path, line, strings.Join(first.Key(), "."))
	}
	if decode, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column := decode.Position()
		return nil, fmt.Errorf("%s line %d, column %d: %s", path, line, column, strings.TrimPrefix(decode.Error(), "toml: "))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	values := map[string]any{}
	for i, field := range fields {
		v := into.Elem().Field(i)
		if v.IsNil() {
			continue
		}
		var value any = v.Elem().Interface()
		if list, ok := value.([]string); ok { // kong wants lists untyped
			untyped := []any{}
			for _, one := range list {
				untyped = append(untyped, one)
			}
			value = untyped
		}
		values[field.Tag.Get("toml")] = value
	}
	return values, nil
}
