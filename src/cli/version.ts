/** The version of the program, from the one place that has it. */
import packageJson from "../../package.json";

/** As in package.json, `"0.1.0"`. */
export const version: string = packageJson.version;
