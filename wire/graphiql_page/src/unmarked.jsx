import { useGraphiQL } from "@graphiql/react";
import { useEffect } from "react";

const unicodeHighlight = { ambiguousCharacters: false, invisibleCharacters: false };

// The editor frames no-break spaces and Cyrillic letters as suspicious; in amounts and titles they are what belongs there.
export function UnmarkedLetters() {
  const response = useGraphiQL((state) => state.responseEditor);
  const query = useGraphiQL((state) => state.queryEditor);
  const variables = useGraphiQL((state) => state.variableEditor);
  useEffect(() => {
    for (const editor of [response, query, variables]) editor?.updateOptions({ unicodeHighlight });
  }, [response, query, variables]);
  return null;
}
