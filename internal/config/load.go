package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	_ "embed"
)

// Example is a complete configuration file in which every key is explained.
//
//go:embed plantgate.example.yaml
var Example []byte

// EnvPrefix begins the name of every environment variable that is read.
const EnvPrefix = "PLANTGATE_"

// envAliases are variables whose names do not follow from a key.
var envAliases = map[string]string{
	"PLANTGATE_API_KEY":      "auth.bootstrap_key",
	"PLANTGATE_API_KEY_FILE": "auth.bootstrap_key_file",
}

// Load reads the file (none if path is ""), then the environment, over the
// defaults, and checks the whole. The error is Faults if the configuration is
// wrong. The second result names PLANTGATE_* variables that mean nothing.
func Load(path string, environ []string) (Config, []string, error) {
	k := koanf.New(".")
	var unread Faults
	if path != "" {
		var err error
		if unread, err = loadFile(k, path); err != nil {
			return Config{}, nil, err
		}
	}
	values, unknown := fromEnvironment(environ)
	twice := preferEnvironment(values)
	if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
		return Config{}, nil, fmt.Errorf("read the environment: %w", err)
	}
	c := Default()
	if err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: decoder(&c)}); err != nil {
		for _, f := range decodeFaults(err) {
			if !unread.cover(f.Key) {
				unread = append(unread, f)
			}
		}
	}
	c.ApplyElementDefaults()
	faults := append(slices.Clone(unread), twice...)
	// What could not be read is not judged by what stands in its place.
	for _, f := range append(c.readSecrets(), c.Validate()...) {
		if !unread.cover(f.Key) {
			faults = append(faults, f)
		}
	}
	if len(faults) > 0 {
		return Config{}, unknown, faults
	}
	return c, unknown, nil
}

func loadFile(k *koanf.Koanf, path string) (Faults, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, Faults{{Key: path, Detail: "no such file; `plantgate config example` prints one"}}
		}
		return nil, err
	}
	if err := k.Load(rawbytes.Provider(raw), yaml.Parser()); err != nil {
		return nil, Faults{{Key: path, Detail: "is not valid YAML: " + err.Error()}}
	}
	return unknownKeys(k.Raw(), reflect.TypeFor[Config](), ""), nil
}

func decoder(c *Config) *mapstructure.DecoderConfig {
	return &mapstructure.DecoderConfig{
		Result:           c,
		TagName:          "koanf",
		WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			durationsNeedAUnit,
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	}
}

// durationsNeedAUnit refuses numbers, which the decoder would take for
// nanoseconds.
func durationsNeedAUnit(_, to reflect.Type, value any) (any, error) {
	if _, isText := value.(string); to == reflect.TypeFor[time.Duration]() && !isText {
		return nil, fmt.Errorf("must be a duration with its unit, such as 15s, not %v", value)
	}
	return value, nil
}

// decodeFaults turns the decoder's errors, which name keys, into faults.
func decodeFaults(err error) Faults {
	var faults Faults
	for line := range strings.Lines(err.Error()) {
		line = strings.Trim(line, " *\n")
		_, rest, ok := strings.Cut(line, "'")
		if !ok {
			continue
		}
		key, detail, _ := strings.Cut(rest, "'")
		detail = strings.TrimLeft(detail, ": ")
		if strings.HasPrefix(detail, "expected a map") {
			detail = "must have keys of its own, not a value"
		}
		faults = append(faults, Fault{Key: key, Detail: detail})
	}
	if len(faults) == 0 {
		faults = Faults{{Key: "configuration", Detail: err.Error()}}
	}
	return faults
}

// cover tells whether there is a fault of the key, or of what it is in.
func (f Faults) cover(key string) bool {
	return slices.ContainsFunc(f, func(of Fault) bool {
		rest, within := strings.CutPrefix(key, of.Key)
		return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// unknownKeys compares what the file says with the fields of t.
func unknownKeys(raw map[string]any, t reflect.Type, prefix string) Faults {
	var faults Faults
	for name, value := range raw {
		key := strings.TrimPrefix(prefix+"."+name, ".")
		field, ok := fieldByKey(t, name)
		if !ok {
			faults = append(faults, Fault{Key: key, Detail: "unknown key"})
			continue
		}
		faults = append(faults, unknownIn(value, field.Type, key)...)
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Key, b.Key) })
	return faults
}

func unknownIn(value any, t reflect.Type, key string) Faults {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		switch t.Kind() {
		case reflect.Struct:
			return unknownKeys(v, t, key)
		case reflect.Map:
		default:
			return Faults{{Key: key, Detail: "must not be a mapping"}}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return Faults{{Key: key, Detail: "must not be a list"}}
		}
		var faults Faults
		for i, e := range v {
			faults = append(faults, unknownIn(e, t.Elem(), fmt.Sprintf("%s[%d]", key, i))...)
		}
		return faults
	}
	return nil
}

func fieldByKey(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("koanf") == name {
			return f, true
		}
		if f.Anonymous { // its keys are those of the struct that it is in
			if inner, ok := fieldByKey(f.Type, name); ok {
				return inner, true
			}
		}
	}
	return reflect.StructField{}, false
}

// fromEnvironment returns the values of known variables by key. Lists of
// objects can't be given in the environment.
func fromEnvironment(environ []string) (values map[string]any, unknown []string) {
	byName := make(map[string]string)
	for _, key := range scalarKeys(reflect.TypeFor[Config](), "") {
		byName[EnvPrefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
	}
	for name, key := range envAliases {
		byName[name] = key
	}
	values = make(map[string]any)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, EnvPrefix+"TEST_") {
			continue
		}
		if key, ok := byName[name]; ok {
			values[key] = value
		} else {
			unknown = append(unknown, name)
		}
	}
	return values, unknown
}

// preferEnvironment makes a secret in the environment, given itself or as a file,
// win over both forms in the configuration file.
func preferEnvironment(values map[string]any) Faults {
	var faults Faults
	for _, key := range []string{"auth.bootstrap_key", "store.dsn"} {
		_, direct := values[key]
		_, file := values[key+"_file"]
		switch {
		case direct && file:
			faults = append(faults, Fault{Key: key, Detail: "is given in the environment both itself and as a file"})
		case direct:
			values[key+"_file"] = ""
		case file:
			values[key] = ""
		}
	}
	return faults
}

// scalarKeys lists the dotted keys that are not lists of objects.
func scalarKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key := strings.TrimPrefix(prefix+"."+f.Tag.Get("koanf"), ".")
		switch {
		case f.Type.Kind() == reflect.Struct:
			keys = append(keys, scalarKeys(f.Type, key)...)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct, f.Type.Kind() == reflect.Map:
		default:
			keys = append(keys, key)
		}
	}
	return keys
}
