package ai.edgeprune.core;

import com.eclipsesource.json.JsonArray;
import com.eclipsesource.json.JsonObject;
import com.eclipsesource.json.JsonValue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Fields of a bundle's JSON, each with its kind checked. */
final class Fields {
    private Fields() {}

    static JsonValue get(JsonObject json, String name) throws BundleException {
        JsonValue value = json.get(name);
        if (value == null) {
            throw new BundleException("the bundle has no field '" + name + "'");
        }
        return value;
    }

    static JsonObject object(JsonObject json, String name) throws BundleException {
        return asObject(get(json, name), name);
    }

    static JsonObject asObject(JsonValue value, String name) throws BundleException {
        if (!value.isObject()) {
            throw wrong(name, value, "an object");
        }
        return value.asObject();
    }

    static JsonArray array(JsonObject json, String name) throws BundleException {
        JsonValue value = get(json, name);
        if (!value.isArray()) {
            throw wrong(name, value, "a list");
        }
        return value.asArray();
    }

    static String text(JsonObject json, String name) throws BundleException {
        JsonValue value = get(json, name);
        if (!value.isString()) {
            throw wrong(name, value, "a text");
        }
        return value.asString();
    }

    static boolean truth(JsonObject json, String name) throws BundleException {
        JsonValue value = get(json, name);
        if (!value.isBoolean()) {
            throw wrong(name, value, "true or false");
        }
        return value.asBoolean();
    }

    static int positive(JsonObject json, String name) throws BundleException {
        long value = size(json, name);
        if (value > Integer.MAX_VALUE) {
            throw wrong(name, get(json, name), "a number of this size");
        }
        return (int) value;
    }

    static long size(JsonObject json, String name) throws BundleException {
        JsonValue value = get(json, name);
        try {
            if (value.isNumber() && value.asLong() > 0) {
                return value.asLong();
            }
        } catch (NumberFormatException fraction) {
            throw wrong(name, value, "a whole number");
        }
        throw wrong(name, value, "a number above 0");
    }

    static List<String> texts(JsonObject json, String name) throws BundleException {
        List<String> texts = new ArrayList<>();
        for (JsonValue value : array(json, name)) {
            if (!value.isString()) {
                throw wrong(name, value, "a text");
            }
            texts.add(value.asString());
        }
        return texts;
    }

    static int[] shape(JsonObject json, String name) throws BundleException {
        double[] numbers = numbers(json, name, array(json, name).size());
        int[] shape = new int[numbers.length];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = (int) numbers[i];
            if (shape[i] != numbers[i] || shape[i] < 1) {
                throw new BundleException("'" + name + "' " + Arrays.toString(numbers) + " is no shape");
            }
        }
        return shape;
    }

    static double[] numbers(JsonObject json, String name, int count) throws BundleException {
        JsonArray values = array(json, name);
        if (values.size() != count) {
            throw new BundleException("'" + name + "' has " + values.size() + " numbers instead of " + count);
        }
        double[] numbers = new double[count];
        for (int i = 0; i < count; i++) {
            if (!values.get(i).isNumber()) {
                throw wrong(name, values.get(i), "a number");
            }
            numbers[i] = values.get(i).asDouble();
        }
        return numbers;
    }

    static void require(JsonObject json, String name, String... known) throws BundleException {
        String found = text(json, name);
        if (!Arrays.asList(known).contains(found)) {
            throw new BundleException("'" + name + "' is '" + found + "', this app knows " + Arrays.toString(known));
        }
    }

    private static BundleException wrong(String name, JsonValue value, String kind) {
        return new BundleException("'" + name + "' is " + value + " instead of " + kind);
    }
}
