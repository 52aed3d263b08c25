import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { useEffect } from "react";

let open = () => {};

// Open a tab of GraphiQL with this document and its variables.
export function openTab(document, variables) {
  open(document, variables);
}

export function Tabs() {
  const { addTab } = useGraphiQLActions();
  const query = useGraphiQL((state) => state.queryEditor);
  const variable = useGraphiQL((state) => state.variableEditor);
  useEffect(() => {
    open = (document, variables) => {
      addTab();
      query?.setValue(document);
      variable?.setValue(JSON.stringify(variables, null, 2));
    };
  }, [addTab, query, variable]);
  return null;
}
